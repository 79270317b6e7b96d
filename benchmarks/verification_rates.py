"""Shares of pairs of faces within a distance, over all pairs of labeled faces, with confidence intervals.

Pairs share images, and images of one person resemble each other, so pairs are not independent and the binomial interval
is too narrow. The interval to rely on draws *people* with replacement, each with all images (Bolle, Ratha, Pankanti:
Error analysis of pattern recognition systems - the subsets bootstrap, 2004; for pairs: Snijders, Borgatti:
Non-parametric standard errors and tests for network statistics, 1999). Two copies of one drawn person are no pair of
different people. For rare pairs that have nobody in common it is too wide, by up to the square root of 3 (Owen: The
pigeonhole bootstrap, 2007): the right interval is most likely between the two.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.domain.arrays import Float32
from shared.results.distances import Distances

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """95 % confidence interval of a share."""

    low: float
    high: float


@dataclass(frozen=True)
class Share:
    """How many of the pairs are within a distance."""

    within: int
    pairs: int
    by_people: Interval
    """From drawing people with replacement (percentiles); the binomial one if no pair is within the distance."""
    binomial: Interval
    """As if pairs were independent (Clopper, Pearson 1934)."""

    @property
    def rate(self) -> float:
        """The share of pairs within the distance; not a number if there are no pairs."""
        return self.within / self.pairs if self.pairs else math.nan


class AllPairs:
    """All pairs of labeled faces."""

    def __init__(self, embeddings: Float32, people: NDArray[np.intp], draws: int = 2000, seed: int = 0) -> None:
        """`embeddings` [n, d], L2-normalized; `people` [n]: whose face each is, as numbers from 0."""
        count = len(people)
        square = Distances(embeddings).among(np.arange(count))
        first, second = np.triu_indices(count, 1)
        distances, same = square[first, second], people[first] == people[second]
        self._true, self._true_person = distances[same], people[first[same]]
        order = np.argsort(distances[~same])
        self._false = distances[~same][order]
        self._false_people = people[np.stack([first, second])[:, ~same][:, order]]
        self._images = np.bincount(people).astype(np.float64)
        persons = len(self._images)
        # How often each person is drawn: [draws, people].
        self._drawn = np.random.default_rng(seed).multinomial(persons, np.full(persons, 1 / persons), draws) * 1.0

    def distance_at(self, false_rate: float) -> float:
        """The distance that at most this share of the pairs of different people is within (between two pairs)."""
        within = int(false_rate * len(self._false))
        around = self._false[max(0, within - 1) : within + 1]
        return float(np.mean(around, dtype=np.float64))

    def false_accepts(self, distance: float) -> Share:
        """Of all pairs of different people."""
        within = int(np.searchsorted(self._false, distance, side="right"))
        near = np.zeros((len(self._images), len(self._images)))
        a, b = self._false_people[:, :within]
        np.add.at(near, (a, b), 1.0)
        np.add.at(near, (b, a), 1.0)
        counted = ((self._drawn @ near) * self._drawn).sum(axis=1)
        total = (self._drawn @ self._images) ** 2 - (self._drawn**2) @ (self._images**2)
        return _share(within, len(self._false), counted / total)

    def true_accepts(self, distance: float) -> Share:
        """Of all pairs of two images of one person."""
        within = self._true <= distance
        persons = len(self._images)
        if not len(within):
            return _share(0, 0, np.zeros(0))
        counted = self._drawn @ np.bincount(self._true_person, within, persons)
        total = self._drawn @ np.bincount(self._true_person, minlength=persons)
        return _share(int(within.sum()), len(self._true), counted / total)


def _share(within: int, pairs: int, drawn: NDArray[np.float64]) -> Share:
    if not pairs:
        nothing = Interval(math.nan, math.nan)
        return Share(0, 0, nothing, nothing)
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    binomial = clopper_pearson(within, pairs)
    # Without a single pair every draw has none, which would look like certainty.
    by_people = Interval(float(low), float(high)) if within else binomial
    return Share(within, pairs, by_people, binomial)


def clopper_pearson(within: int, pairs: int) -> Interval:
    """The exact 95 % interval of a binomial share, from quantiles of the beta distribution."""
    from scipy.stats import beta

    tail = (1 - _CONFIDENCE) / 2
    low = 0.0 if within == 0 else float(beta.ppf(tail, within, pairs - within + 1))
    high = 1.0 if within == pairs else float(beta.ppf(1 - tail, within + 1, pairs - within))
    return Interval(low, high)
