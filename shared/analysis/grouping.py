"""The groups of a job's faces: those of `groups.csv`, or others at another threshold."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.analysis.clustering import Mask, labels_of_faces, neighbors_to_link, number_groups
from shared.analysis.copies import Copies, find_copies
from shared.analysis.face_neighbors import rows_of_embeddings
from shared.analysis.medoids import medoid_distances
from shared.analysis.neighbor_linkage import link_neighbors
from shared.domain.arrays import Float32
from shared.domain.quality_limits import DEFAULT_LIMITS, QualityLimits
from shared.results.distances import Faces
from shared.results.groups_file import read_groups
from shared.results.neighbors_file import Neighbors
from shared.results.schema import GROUPS


@dataclass(frozen=True)
class Grouping:
    """Every face in exactly one group."""

    numbers: Faces
    """[n]: the number of each face's group, from 1: the largest first."""
    distances: Float32
    """[n]: the distance to the group's medoid."""

    def members(self) -> list[Faces]:
        """The faces of each group, in their order."""
        order = np.argsort(self.numbers, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(self.numbers[order])) + 1) if len(order) else []


def recorded_grouping(
    folder: Path,
    faces: int,
    threshold: float,
    calibrated: float | None,
    limits: QualityLimits = DEFAULT_LIMITS,
) -> Grouping | None:
    """The groups in `groups.csv`; None if there is none, or it is of another threshold (it is of the calibrated one) or
    of other limits (it is of the default ones).

    OSError or ValueError if the file cannot be read.
    """
    if threshold != calibrated or limits != DEFAULT_LIMITS or not os.path.lexists(folder / GROUPS):
        return None
    return Grouping(*read_groups(folder, faces))


def find_grouping(
    embeddings: Float32, neighbors: Neighbors | None, threshold: float, left_out: Mask | None = None
) -> Grouping:
    """The groups at a threshold, without the faces that are `left_out` [n]: each of these is alone. Of equal
    embeddings, the first face decides.

    Without `neighbors`, these are found first, which takes time with every pair. ResultsError if they are damaged.
    """
    copies = find_copies(embeddings)
    known = neighbors_of_distinct(embeddings, neighbors, copies, threshold)
    return group_distinct(embeddings, known, copies, threshold, left_out)


def group_distinct(
    embeddings: Float32, known: Neighbors, copies: Copies, threshold: float, left_out: Mask | None = None
) -> Grouping:
    """As `find_grouping`; `known` has the neighbors of the distinct embeddings, which may be mapped from a file."""
    out = np.zeros(len(copies.first), bool) if left_out is None else left_out[copies.first]
    labels = link_neighbors(embeddings, known, copies, threshold, left_out=out)
    numbers = number_groups(labels_of_faces(labels, copies, out[copies.number]))
    return Grouping(numbers, medoid_distances(copies, labels, embeddings))


def neighbors_of_distinct(
    embeddings: Float32, neighbors: Neighbors | None, copies: Copies, threshold: float
) -> Neighbors:
    """What `link_neighbors` needs of the neighbors of each distinct embedding; `neighbors` are those of all faces, if
    they are known.
    """
    if neighbors is None:
        return neighbors_to_link(embeddings, copies, threshold)
    return rows_of_embeddings(neighbors, copies, threshold)
