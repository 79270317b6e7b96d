"""Average linkage over the nearest neighbors of each face: time and memory grow with the neighbors, not with all pairs.

It is average linkage of a whole distance matrix in which every pair of faces that are not among each other's nearest
counts as unrelated. (`python benchmarks/groups.py` compares it with other methods on labeled faces.)
"""

import heapq
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from shared.analysis.near_pairs import Neighbors

UNRELATED = 1.41
"""The distance of a pair that is not among the nearest: about that of two directions that have nothing in common."""

_Labels = npt.NDArray[np.intp]


def link_neighbors(neighbors: Neighbors, copies: npt.NDArray[np.int64], threshold: float) -> _Labels:
    """A label for each of n faces: groups are joined, closest first, while the mean distance between their faces is
    within the threshold. Groups without a pair of nearest neighbors are never joined.

    `copies` [n] says how many equal faces each one stands for.
    """
    joining = _Joining(copies.tolist(), threshold)
    for one, other, distance in _pairs_in_reach(neighbors, threshold):
        joining.link(one, other, distance)
    return joining.join()


def _pairs_in_reach(neighbors: Neighbors, threshold: float) -> Iterator[tuple[int, int, float]]:
    """Each pair once, without those between faces that no chain of pairs within the threshold connects."""
    one = np.repeat(np.arange(len(neighbors), dtype=np.int32), np.diff(neighbors.starts))
    other = neighbors.faces
    low, high = np.minimum(one, other), np.maximum(one, other)
    keys = low.astype(np.int64) * len(neighbors) + high
    first = np.unique(keys, return_index=True)[1]
    low, high, distances = low[first], high[first], neighbors.distances[first]
    component = _components(len(neighbors), low[distances <= threshold], high[distances <= threshold])
    together = component[low] == component[high]
    yield from zip(low[together].tolist(), high[together].tolist(), distances[together].tolist(), strict=True)


def _components(count: int, one: npt.NDArray[np.int32], other: npt.NDArray[np.int32]) -> _Labels:
    root = list(range(count))

    def root_of(face: int) -> int:
        while root[face] != face:
            root[face] = root[root[face]]
            face = root[face]
        return face

    for a, b in zip(one.tolist(), other.tolist(), strict=True):
        a, b = root_of(a), root_of(b)
        root[max(a, b)] = min(a, b)
    return np.array([root_of(face) for face in range(count)], np.intp)


class _Joining:
    """Groups, each known by its first face, and what is known of the distances between them."""

    def __init__(self, sizes: list[int], threshold: float) -> None:
        self._sizes, self._threshold = sizes, threshold
        self._links: list[dict[int, tuple[float, int]]] = [{} for _ in sizes]
        """For each group and each other: the sum of the known distances between their faces, and their number."""
        self._version = [0] * len(sizes)  # of a group; raised by each join, -1 once it is part of another group
        self._joined_to = list(range(len(sizes)))
        self._closest: list[tuple[float, int, int, int, int]] = []

    def link(self, one: int, other: int, distance: float) -> None:
        """Makes a distance between two faces known."""
        number = self._sizes[one] * self._sizes[other]
        self._links[one][other] = self._links[other][one] = (distance * number, number)

    def join(self) -> _Labels:
        """Joins until nothing is within the threshold, and returns each face's group."""
        self._closest = [
            (distance, one, other, 0, 0)
            for one, links in enumerate(self._links)
            for other in links
            if one < other and (distance := self._distance(one, other)) <= self._threshold
        ]
        heapq.heapify(self._closest)
        while self._closest:
            _, one, other, version_one, version_other = heapq.heappop(self._closest)
            if self._version[one] == version_one and self._version[other] == version_other:
                self._join(one, other)
        return np.array([self._group_of(face) for face in range(len(self._sizes))], np.intp)

    def _distance(self, one: int, other: int) -> float:
        known, number = self._links[one][other]
        pairs = self._sizes[one] * self._sizes[other]
        return (known + (pairs - number) * UNRELATED) / pairs

    def _join(self, one: int, other: int) -> None:
        """Makes `one` the group of both."""
        mine, theirs = self._links[one], self._links[other]
        del mine[other], theirs[one]
        for group, (known, number) in theirs.items():
            before = mine.get(group, (0.0, 0))
            links = self._links[group]
            del links[other]
            mine[group] = links[one] = (before[0] + known, before[1] + number)
        self._links[other] = {}
        self._sizes[one] += self._sizes[other]
        self._version[one] += 1
        self._version[other] = -1
        self._joined_to[other] = one
        for group in mine:
            if (distance := self._distance(one, group)) <= self._threshold:
                low, high = (one, group) if one < group else (group, one)
                heapq.heappush(self._closest, (distance, low, high, self._version[low], self._version[high]))

    def _group_of(self, face: int) -> int:
        while self._joined_to[face] != face:
            self._joined_to[face] = self._joined_to[self._joined_to[face]]
            face = self._joined_to[face]
        return face
