"""Groups of faces that may be one person: average linkage, cut at a distance.

Not connected components, which one blurred face between two people is enough to chain together: a group is joined to
another only while the *mean* distance between their faces is within the threshold.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from shared.analysis.average_linkage import Tree, leaves_in_order
from shared.analysis.copies import Copies, distinct_rows, find_copies
from shared.analysis.near_pairs import near_neighbors
from shared.analysis.neighbor_linkage import link_neighbors
from shared.domain.arrays import Bool, Float32
from shared.domain.options import DEFAULT_NEIGHBORS
from shared.results.distances import Faces
from shared.results.neighbors_file import Neighbors

Labels = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

MAX_ORDERED_FACES = 5_000
"""The order of the leaves needs every distance in memory: 200 MB for 5,000 faces, 20 GB for 50,000."""


@dataclass(frozen=True)
class Groups:
    """Every face in exactly one group."""

    threshold: float
    """Euclidean distance up to which groups were joined."""
    members: list[list[int]]
    """Faces of each group, in their order; the largest group first, of equally large ones that with the first face."""
    left_out: list[int] = field(default_factory=list)
    """The faces that are in groups of their own because of their quality, in their order."""

    @property
    def people(self) -> list[list[int]]:
        """The groups of two faces and more."""
        return [faces for faces in self.members if len(faces) > 1]

    @property
    def alone(self) -> list[int]:
        """The other faces in groups of their own, in their order."""
        left_out = set(self.left_out)
        return [faces[0] for faces in self.members if len(faces) == 1 and faces[0] not in left_out]


def find_groups(embeddings: Float32, threshold: float, left_out: Mask | None = None) -> Groups:
    """The groups of all faces. They depend on nothing but the embeddings, float32 [n, d], the threshold, and which
    faces are `left_out` [n] (default: none; of equal embeddings the first face decides).

    Faces with equal bytes, which copies of a file have, count as one among the nearest, so that they do not take the
    places of others.
    """
    copies = find_copies(embeddings)
    near = neighbors_to_link(embeddings, copies, threshold)
    out = np.zeros(len(copies.first), bool) if left_out is None else left_out[copies.first]
    labels = link_neighbors(embeddings, near, copies, threshold, left_out=out)
    alone = out[copies.number]
    return _sorted(labels_of_faces(labels, copies, alone), threshold, np.flatnonzero(alone).tolist())


def neighbors_to_link(embeddings: Float32, copies: Copies, threshold: float) -> Neighbors:
    """The neighbors of each distinct embedding that its group depends on: those that a job's neighbors file has by
    default.
    """
    return near_neighbors(distinct_rows(embeddings, copies), DEFAULT_NEIGHBORS, within=threshold)


def number_groups(labels: Labels, named: Bool | None = None) -> Labels:
    """Of each face [n] the number of its group, from 1: the largest first, of equally large ones that with the first
    face. If `named` [n] says of which faces the groups have names, these are before others of their size.
    """
    _, first, inverse, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    numbers = np.empty(len(first), np.intp)
    unnamed = np.zeros(len(first)) if named is None else ~named[first]
    numbers[np.lexsort((first, unnamed, -sizes))] = np.arange(1, len(first) + 1)
    return numbers[inverse]


def leaf_order(tree: Tree, faces: int) -> Faces:
    """The faces in the order of the tree's leaves: similar ones side by side. intp [faces]."""
    return leaves_in_order(tree, faces) if len(tree) else np.arange(faces)


def labels_of_faces(labels: Labels, copies: Copies, alone: Mask) -> Labels:
    """The label of each of n faces, from those of the distinct embeddings [m], which are less than m. Each of the faces
    that are `alone` [n] has one of its own.
    """
    found = labels[copies.number]
    found[alone] = len(labels) + np.flatnonzero(alone)
    return found


def _sorted(labels: Labels, threshold: float, left_out: list[int]) -> Groups:
    found: dict[int, list[int]] = {}
    for face, label in enumerate(labels.tolist()):
        found.setdefault(label, []).append(face)
    members = sorted(found.values(), key=lambda faces: (-len(faces), faces[0]))
    return Groups(threshold, members, left_out)
