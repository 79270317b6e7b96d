"""Average linkage of squared distances, over the pairs of faces within the threshold.

The distance of two groups is the root of the mean squared distance between their faces, over all pairs, whether or not
they are among each other's neighbors: it follows from the groups' mean embeddings (`group_means`). Two groups can only
be within the threshold if a pair of their faces is. So the result is that of a whole distance matrix, as long as
no face has more others within the threshold than neighbors. (`python benchmarks/groups.py` compares it with other
methods on labeled faces.)

Two groups that are each other's closest are joined as soon as they are known to be, all such pairs of groups at once.
That gives the groups that joining the closest pair of all, one after the other, gives: a group is never closer to a
joined one than to the closer of its parts. For the same reason near pairs may be worked on before farther ones
are looked at. Most of those are inside a group then.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.analysis.bundles import Bundles
from shared.analysis.constrained_means import ConstrainedMeans
from shared.analysis.constraints import Constraints
from shared.analysis.copies import Copies
from shared.analysis.group_links import Found, GroupLinks, Links
from shared.analysis.group_means import GroupMeans, Values
from shared.domain.arrays import Float32
from shared.results.neighbors_file import Neighbors

_PAIRS_A_STEP = 4
"""Pairs that are looked at together, for each face: fewer take more steps, more take more memory."""
_BINS = 512
_FARTHEST = 2.0
_ABOVE_ALL = 4.0
"""Groups that must stay apart are infinitely far from each other, and so beyond any threshold."""
_READ_AT_ONCE = 1 << 22

_Labels = npt.NDArray[np.intp]
_Mask = npt.NDArray[np.bool_]


def link_neighbors(
    embeddings: Float32,
    neighbors: Neighbors,
    copies: Copies,
    threshold: float,
    constraints: Constraints | None = None,
    left_out: _Mask | None = None,
) -> _Labels:
    """A label for each of m distinct faces, the first face of its group: groups are joined, closest first, while the
    root of the mean squared distance between their faces is within the threshold. Groups without a pair of neighbors
    are never joined. Of equally close pairs of groups the one with the smaller labels is joined first.

    `neighbors` are of the distinct faces; ResultsError if they are damaged. They, and `embeddings` [n, d] of all faces,
    may be mapped from a file. With
    `constraints`, only groups are joined that need not stay apart, and groups that must be together have one label, but
    others are as far from each of them as without (`bundles`). The faces in `left_out` [m] bring no pair of groups
    together.
    """
    threshold = min(threshold, _ABOVE_ALL)
    if left_out is None:
        left_out = np.zeros(len(neighbors), bool)
    bundles = None if constraints is None else Bundles(constraints)
    means = GroupMeans(embeddings, copies) if bundles is None else ConstrainedMeans(embeddings, copies, bundles)
    labels = np.arange(len(means), dtype=np.int32)
    pairs = _Pairs(np.empty(0, np.int64), np.empty(0))
    for nearest, farthest in _steps(neighbors, threshold):
        pairs = _more_pairs(pairs, _between(neighbors, labels, left_out, nearest, farthest), means, threshold**2)
        links = GroupLinks(*_one_and_other(pairs.keys, len(means)), pairs.squares, means, threshold**2)
        _Joining(links, farthest**2, bundles).join()
        labels = links.group_of(labels)
        pairs = _Pairs(*(np.concatenate(values) for values in zip(*_left(links), strict=True)))
    return (labels if bundles is None else bundles.as_one(labels)).astype(np.intp)


@dataclass(frozen=True)
class _Pairs:
    """Pairs of groups, each once, in ascending order: the smaller group times the number of faces, plus the other."""

    keys: npt.NDArray[np.int64]
    squares: Values


def _steps(neighbors: Neighbors, threshold: float) -> Iterator[tuple[float, float]]:
    """Distances that divide those up to the threshold, so that not many pairs are between two of them."""
    edges = np.linspace(0, min(threshold, _FARTHEST), _BINS + 1)
    counts = np.zeros(_BINS, np.int64)
    for first in range(0, len(neighbors.distances), _READ_AT_ONCE):
        counts += np.histogram(neighbors.distances[first : first + _READ_AT_ONCE], edges)[0]
    # Most pairs are there twice, in the row of either face.
    step = np.cumsum(counts) // max(1, 2 * _PAIRS_A_STEP * len(neighbors))
    begin = -np.inf
    for end in edges[1:-1][np.diff(step) > 0].tolist():
        yield begin, end
        begin = end
    yield begin, threshold


def _between(
    neighbors: Neighbors, labels: Links, left_out: _Mask, nearest: float, farthest: float
) -> npt.NDArray[np.int64]:
    """The keys of the pairs of groups with faces that are farther apart than the one distance, up to the other."""
    keys = [np.empty(0, np.int64)]
    for first in range(0, len(neighbors.distances), _READ_AT_ONCE):
        distances = np.asarray(neighbors.distances[first : first + _READ_AT_ONCE])
        at = first + np.flatnonzero((distances > nearest) & (distances <= farthest))
        rows, others = np.searchsorted(neighbors.starts, at, "right") - 1, neighbors.at(at)[0]
        one, other = labels[rows], labels[others]
        apart = (one != other) & ~left_out[rows] & ~left_out[others]
        low, high = np.minimum(one[apart], other[apart]), np.maximum(one[apart], other[apart])
        keys.append(np.unique(low.astype(np.int64) * len(neighbors) + high))
    return np.unique(np.concatenate(keys))


def _more_pairs(known: _Pairs, keys: npt.NDArray[np.int64], means: GroupMeans, limit: float) -> _Pairs:
    new = np.setdiff1d(keys, known.keys, assume_unique=True)
    squares = means.mean_squares(*_one_and_other(new, len(means)))
    near = squares <= limit
    keys, squares = np.concatenate([known.keys, new[near]]), np.concatenate([known.squares, squares[near]])
    order = np.argsort(keys)
    return _Pairs(keys[order], squares[order])


def _one_and_other(keys: npt.NDArray[np.int64], count: int) -> tuple[Links, Links]:
    one, other = np.divmod(keys, max(1, count))
    return one.astype(np.int32), other.astype(np.int32)


def _left(links: GroupLinks) -> Iterator[tuple[npt.NDArray[np.int64], Values]]:
    """The keys and mean squared distances of the groups that are still linked."""
    yield np.empty(0, np.int64), np.empty(0)
    for groups in links.portions(links.groups()):
        found = links.of(groups)
        one = groups[found.owner]
        once = (one < found.other) & (found.square <= links.limit)
        yield one[once].astype(np.int64) * len(links) + found.other[once], found.square[once]


class _Joining:
    """Groups, each known by its first face, and for each the closest other, by mean squared distances."""

    def __init__(self, links: GroupLinks, limit: float, bundles: Bundles | None) -> None:
        self._links, self._limit, self._bundles = links, limit, bundles
        count = len(links)
        self._closest = np.full(count, -1, np.int32)
        self._square = np.full(count, np.inf)  # the distance to the closest
        self._others = np.full(count, np.inf)  # no other group than the closest is closer than this

    def join(self) -> None:
        """Joins until nothing is within the limit."""
        changed = self._links.groups()
        for some in self._links.portions(changed):
            self._look_at(some)
        while len(changed):
            changed = self._join_closest(changed)

    def _join_closest(self, changed: Links) -> Links:
        """Joins the pairs of which one is among `changed`, and returns the groups whose closest has changed then."""
        changed = changed[self._square[changed] <= self._limit]
        partner = self._closest[changed]
        mutual = self._closest[partner] == changed
        low = np.unique(np.minimum(changed[mutual], partner[mutual]))
        high = self._closest[low]
        waiting = np.empty(0, np.int32)
        if self._bundles is not None:
            chosen = self._bundles.choose(low, high, self._square)
            low, high, waiting = low[chosen], high[chosen], low[~chosen]
        self._links.join(low, high)
        if self._bundles is not None:
            merged = self._bundles.take_merged()
            self._links.look_again(merged)
            low = np.union1d(low, merged)
        doubtful = [np.empty(0, np.int32)]
        for some in self._links.portions(low):
            doubtful.append(self._tell_neighbors(*self._look_at(some)))
        again = np.unique(np.concatenate(doubtful))
        for some in self._links.portions(again):
            self._look_at(some)
        return np.concatenate([low, again, waiting])

    def _look_at(self, groups: Links) -> tuple[Links, Found]:
        """Finds the closest of each of these groups."""
        found = self._links.of(groups)
        self._square[groups] = self._others[groups] = np.inf
        first = np.flatnonzero(np.diff(found.owner, prepend=-1))
        if len(first):
            square = found.square.copy()
            row = np.repeat(np.arange(len(first)), np.diff(first, append=len(square)))
            nearest = np.minimum.reduceat(square, first)
            as_near = np.flatnonzero(square == nearest[row])
            closest = as_near[np.diff(row[as_near], prepend=-1) > 0]  # the first of equally near ones
            square[closest] = np.inf
            looked_at = groups[found.owner[first]]
            self._closest[looked_at], self._square[looked_at] = found.other[closest], nearest
            self._others[looked_at] = np.minimum.reduceat(square, first)
        return groups, found

    def _tell_neighbors(self, groups: Links, found: Found) -> Links:
        """Tells the neighbors of groups that were joined; returns those whose closest is no longer known."""
        order = np.argsort(found.other, kind="stable")
        if not len(order):
            return found.other
        told, square = found.other[order], found.square[order]
        first = np.flatnonzero(np.diff(told, prepend=-1))
        row = np.repeat(np.arange(len(first)), np.diff(first, append=len(told)))
        told = told[first]
        closest = self._links.group_of(self._closest[told])
        is_closest = groups[found.owner[order]] == closest[row]
        to_closest = np.minimum.reduceat(np.where(is_closest, square, np.inf), first)
        to_others = np.minimum.reduceat(np.where(is_closest, np.inf, square), first)
        joined = np.logical_or.reduceat(is_closest, first)  # its closest is one of `groups`, and may be forbidden now
        nearest = np.where(joined, to_closest, self._square[told])
        others = np.minimum(self._others[told], to_others)
        self._closest[told], self._square[told], self._others[told] = closest, nearest, others
        done = np.minimum(nearest, others) > self._limit
        self._square[told[done]] = np.inf
        doubtful: Links = told[(nearest >= others) & ~done]
        return doubtful
