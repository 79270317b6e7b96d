"""The nearest faces outside of each face's group, which may be the same person."""

import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32
from shared.results.distances import Faces
from shared.results.neighbors_file import Neighbors

OUTSIDE = 6
"""Of each face, if there are so many."""
NONE = 2**32 - 1
"""In the place of a face, where there are fewer."""
_ROWS_AT_ONCE = 512

Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""[m, OUTSIDE] each: faces, `NONE` where there are fewer, and their distances, 0 there; the nearest first."""


def outside_in_matrix(square: Float32, groups: Faces) -> Found:
    """From all distances [n, n]; `groups` [n] are the numbers of the faces' groups."""
    count = len(square)
    width = min(OUTSIDE, count)
    faces, distances = _empty(count)
    for start in range(0, count, _ROWS_AT_ONCE):
        part = slice(start, min(start + _ROWS_AT_ONCE, count))
        away = np.where(groups[part, None] == groups[None, :], np.inf, square[part])
        near = np.argsort(away, axis=1, kind="stable")[:, :width]
        found = np.take_along_axis(away, near, axis=1)
        there = np.isfinite(found)
        faces[part, :width] = np.where(there, near, NONE)
        distances[part, :width] = np.where(there, found, 0)
    return faces, distances


def outside_in_neighbors(neighbors: Neighbors, rows: Faces, groups: Faces) -> Found:
    """Of the faces `rows` [m], from their recorded neighbors; `groups` [n] are the numbers of all faces' groups."""
    faces, distances = _empty(len(rows))
    for at, row in enumerate(rows.tolist()):
        part = slice(int(neighbors.starts[row]), int(neighbors.starts[row + 1]))
        near = np.asarray(neighbors.faces[part], np.int64)
        # A damaged file may name faces that do not exist.
        there = (near >= 0) & (near < len(groups))
        there[there] = groups[near[there]] != groups[row]
        chosen = np.flatnonzero(there)[:OUTSIDE]
        faces[at, : len(chosen)] = near[chosen]
        distances[at, : len(chosen)] = neighbors.distances[part][chosen]
    return faces, distances


def _empty(count: int) -> Found:
    return np.full((count, OUTSIDE), NONE, np.int64), np.zeros((count, OUTSIDE), np.float64)
