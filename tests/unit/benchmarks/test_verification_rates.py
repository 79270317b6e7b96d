"""Rates over all pairs, and their confidence intervals, against counting one by one."""

from itertools import combinations

import numpy as np
import pytest

from benchmarks.verification_rates import AllPairs, clopper_pearson
from shared.domain.arrays import Float32

DRAWS = 200


def _faces(people: int, seed: int = 0) -> tuple[Float32, np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Up to four images of each person, as unit vectors with two close pairs of people among them."""
    rng = np.random.default_rng(seed)
    images = rng.integers(1, 5, people)
    centers = rng.standard_normal((people, 16))
    centers[1], centers[3] = centers[0] + 0.2, centers[2] + 0.3
    persons = np.repeat(np.arange(people), images)
    vectors = centers[persons] + 0.4 * rng.standard_normal((len(persons), 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), persons


def _count(embeddings: Float32, labels: list[int], distance: float) -> tuple[float, float]:
    """Shares of the pairs of different and of the same labels within the distance, counted one by one."""
    near: dict[bool, list[bool]] = {False: [], True: []}
    for (a, one), (b, other) in combinations(zip(embeddings, labels, strict=True), 2):
        near[one == other].append(float(np.linalg.norm(a - b)) <= distance)
    return float(np.mean(near[False])), float(np.mean(near[True]))


@pytest.mark.parametrize("distance", [0.5, 0.8, 1.1])
def test_rates_and_intervals_are_those_of_counting(distance: float) -> None:
    """The interval too: each draw is laid out image by image, where two copies of a person count as that person."""
    embeddings, people = _faces(8)
    pairs = AllPairs(embeddings, people, draws=DRAWS, seed=5)
    false, true = pairs.false_accepts(distance), pairs.true_accepts(distance)
    assert (false.rate, true.rate) == pytest.approx(_count(embeddings, people.tolist(), distance))
    drawn = np.random.default_rng(5).multinomial(8, np.full(8, 1 / 8), DRAWS)
    of_false, of_true = [], []
    for times in drawn:
        rows = np.repeat(np.arange(len(people)), times[people])
        of_false.append(_count(embeddings[rows], people[rows].tolist(), distance)[0])
        # Pairs of one person are drawn with the person: pairs across two copies would count an image with itself.
        within = total = 0
        for person in range(8):
            of_one = embeddings[people == person]
            near = [float(np.linalg.norm(a - b)) <= distance for a, b in combinations(of_one, 2)]
            within, total = within + times[person] * sum(near), total + times[person] * len(near)
        of_true.append(within / total)
    for share, expected in ((false, of_false), (true, of_true)):
        interval = (share.by_people.low, share.by_people.high)
        assert interval == pytest.approx(tuple(np.quantile(expected, [0.025, 0.975])))


def test_the_distance_for_a_rate_has_that_many_pairs_within_it() -> None:
    """Rounded down, never more."""
    embeddings, people = _faces(30)
    pairs = AllPairs(embeddings, people, draws=10)
    for rate in (0.5, 0.1, 0.01):
        share = pairs.false_accepts(pairs.distance_at(rate))
        assert share.within == int(rate * share.pairs)


def test_clopper_pearson_as_published() -> None:
    """Known values: 0 of n is the rule of three's exact form, 1 - 0.025^(1/n); 5 of 10 is 0.187 to 0.813."""
    nothing, half, all_of_them = clopper_pearson(0, 500), clopper_pearson(5, 10), clopper_pearson(10, 10)
    assert (nothing.low, nothing.high) == (0, pytest.approx(1 - 0.025 ** (1 / 500)))
    assert (half.low, half.high) == pytest.approx((0.1871, 0.8129), abs=1e-4)
    assert (all_of_them.low, all_of_them.high) == (pytest.approx(0.025 ** (1 / 10)), 1)


def test_no_pair_at_all_is_no_certainty() -> None:
    """Every draw of people has none either; the interval still has an upper end."""
    embeddings, people = _faces(30)
    share = AllPairs(embeddings, people, draws=10).false_accepts(0.0)
    assert (share.within, share.by_people.low, share.by_people) == (0, 0, share.binomial)
    assert share.by_people.high > 1 / share.pairs


def test_the_interval_by_people_is_wider_than_the_binomial() -> None:
    """One person who resembles many makes pairs depend on each other, and only the first interval knows it."""
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((300, 24))
    vectors[0] = vectors[1:].mean(axis=0) * 40  # like everybody a little
    embeddings = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    pairs = AllPairs(embeddings, np.arange(300, dtype=np.intp))
    share = pairs.false_accepts(1.0)
    assert share.by_people.low < share.binomial.low < share.rate < share.binomial.high < share.by_people.high
