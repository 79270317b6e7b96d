"""Groups of faces that may be one person: average linkage, cut at a distance.

Not connected components, which one blurred face between two people is enough to chain together: a group is joined to
another only while the *mean* distance between their faces is within the threshold.
"""

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.analysis.average_linkage import Tree, average_linkage, clusters_within, leaves_in_order
from shared.analysis.neighbors import nearest
from shared.domain.arrays import Float32
from shared.results.distances import Distances, Faces

MAX_LINKED_FACES = 5_000
"""Average linkage keeps every distance in memory: 200 MB for 5,000 faces (a second or two), 20 GB for 50,000."""
_LINKS = 16  # nearest faces of each face that are considered in larger jobs


@dataclass(frozen=True)
class Groups:
    """Every face in exactly one group."""

    threshold: float
    """Euclidean distance up to which groups were joined."""
    members: list[list[int]]
    """Faces of each group, in their order; the largest group first, of equally large ones that with the first face."""
    method: str
    """How the groups were found, for display."""

    @property
    def people(self) -> list[list[int]]:
        """The groups of two faces and more."""
        return [faces for faces in self.members if len(faces) > 1]

    @property
    def alone(self) -> list[int]:
        """The faces in groups of their own, in their order."""
        return [faces[0] for faces in self.members if len(faces) == 1]


def find_groups(distances: Distances, threshold: float) -> Groups:
    """The groups of all faces. They depend on nothing but the embeddings and the threshold."""
    if len(distances) <= MAX_LINKED_FACES:
        return cut(average_linkage(distances.among(np.arange(len(distances)))), len(distances), threshold)
    return _join_neighbors(distances, threshold)


def cut(tree: Tree, faces: int, threshold: float) -> Groups:
    """The groups that the linkage `tree` of all `faces` has joined up to `threshold`."""
    return _sorted(clusters_within(tree, faces, threshold), threshold, "average linkage")


def leaf_order(tree: Tree, faces: int) -> Faces:
    """The faces in the order of the tree's leaves: similar ones side by side. intp [faces]."""
    return leaves_in_order(tree, faces) if len(tree) else np.arange(faces)


def _sorted(labels: npt.NDArray[np.intp], threshold: float, method: str) -> Groups:
    found: dict[int, list[int]] = {}
    for face, label in enumerate(labels.tolist()):
        found.setdefault(label, []).append(face)
    members = sorted(found.values(), key=lambda faces: (-len(faces), faces[0]))
    return Groups(threshold, members, method)


def _join_neighbors(distances: Distances, threshold: float) -> Groups:
    """Linkage among near neighbors only: memory grows with the number of faces, not with its square.

    Groups are joined, closest first, while the root mean square of the distances between their faces is within the
    threshold, and only where a face of one is among the nearest of a face of the other. The mean square needs no pairs:
    mean |a - b|^2 = mean |a|^2 + mean |b|^2 - 2 mean(a) . mean(b).
    """
    joining = _Joining(np.array(distances.embeddings, np.float32), threshold)
    rows, found = nearest(distances, np.arange(len(distances)), _LINKS)
    for face, (near, far) in enumerate(zip(rows, found, strict=True)):
        joining.link(face, near[far <= threshold].tolist())
    labels = joining.join()
    method = (
        f"linkage among the {_LINKS} nearest of each face, by root mean square distance: there are too many faces for "
        "average linkage over all pairs"
    )
    return _sorted(labels, threshold, method)


class _Joining:
    def __init__(self, means: Float32, threshold: float) -> None:
        """`means` float32 [n, d]: the embeddings; overwritten by the means of groups."""
        count = len(means)
        self._means, self._limit = means, threshold**2
        self._squares = np.einsum("nd,nd->n", means, means, dtype=np.float64)  # mean squared norm of a group's faces
        self._sizes = np.ones(count)
        self._linked: list[set[int]] = [set() for _ in range(count)]
        self._version = [0] * count  # of a group; raised by each merge, -1 once it is part of another group
        self._joined_to = list(range(count))
        self._heap: list[tuple[float, int, int, int, int]] = []

    def link(self, face: int, others: list[int]) -> None:
        """Makes `face` and each of `others` candidates to be joined."""
        for other in others:
            self._linked[face].add(other)
            self._linked[other].add(face)

    def join(self) -> npt.NDArray[np.intp]:
        """Joins until nothing is within the threshold, and returns each face's group: intp [n]."""
        for face, linked in enumerate(self._linked):
            self._offer(face, [other for other in linked if other > face])
        while self._heap:
            _, a, b, version_a, version_b = heapq.heappop(self._heap)
            if self._version[a] == version_a and self._version[b] == version_b:
                self._merge(*((a, b) if len(self._linked[a]) >= len(self._linked[b]) else (b, a)))
        return np.array([self._group_of(face) for face in range(len(self._sizes))], np.intp)

    def _offer(self, group: int, others: list[int]) -> None:
        if not others:
            return
        others.sort()
        squares = self._squares[group] + self._squares[others] - 2.0 * (self._means[others] @ self._means[group])
        for other, square in zip(others, squares.tolist(), strict=True):
            if square <= self._limit:
                heapq.heappush(self._heap, (square, group, other, self._version[group], self._version[other]))

    def _merge(self, a: int, b: int) -> None:
        size = self._sizes[a] + self._sizes[b]
        share = self._sizes[b] / size
        self._means[a] += share * (self._means[b] - self._means[a])
        self._squares[a] += share * (self._squares[b] - self._squares[a])
        self._sizes[a] = size
        self._version[a] += 1
        self._version[b] = -1
        self._joined_to[b] = a
        for other in self._linked[b]:
            self._linked[other].discard(b)
            if other != a:
                self._linked[other].add(a)
                self._linked[a].add(other)
        self._linked[b] = set()
        self._offer(a, list(self._linked[a]))

    def _group_of(self, face: int) -> int:
        while self._joined_to[face] != face:
            face = self._joined_to[face]
        return face
