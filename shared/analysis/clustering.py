"""Groups of faces that may be one person: average linkage, cut at a distance.

Not connected components, which one blurred face between two people is enough to chain together: a group is joined to
another only while the *mean* distance between their faces is within the threshold.
"""

from dataclasses import dataclass

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

MAX_ORDERED_FACES = 5_000
"""The order of the leaves needs every distance in memory: 200 MB for 5,000 faces, 20 GB for 50,000."""


@dataclass(frozen=True)
class Groups:
    """Every face in exactly one group."""

    threshold: float
    """Euclidean distance up to which groups were joined."""
    members: list[list[int]]
    """Faces of each group, in their order; the largest group first, of equally large ones that with the first face."""

    @property
    def people(self) -> list[list[int]]:
        """The groups of two faces and more."""
        return [faces for faces in self.members if len(faces) > 1]

    @property
    def alone(self) -> list[int]:
        """The faces in groups of their own, in their order."""
        return [faces[0] for faces in self.members if len(faces) == 1]


def find_groups(embeddings: Float32, threshold: float) -> Groups:
    """The groups of all faces. They depend on nothing but the embeddings, float32 [n, d], and the threshold.

    Faces with equal bytes, which copies of a file have, count as one among the nearest, so that they do not take the
    places of others.
    """
    copies = find_copies(embeddings)
    near = neighbors_to_link(embeddings, copies, threshold)
    return _sorted(link_neighbors(embeddings, near, copies, threshold)[copies.number], threshold)


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


def _sorted(labels: Labels, threshold: float) -> Groups:
    found: dict[int, list[int]] = {}
    for face, label in enumerate(labels.tolist()):
        found.setdefault(label, []).append(face)
    members = sorted(found.values(), key=lambda faces: (-len(faces), faces[0]))
    return Groups(threshold, members)
