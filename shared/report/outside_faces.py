"""The nearest faces outside of each face's group, which may be the same person."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from shared.analysis.ragged import pieces
from shared.domain.arrays import Float32
from shared.results.distances import Faces
from shared.results.neighbors_file import Neighbors

OUTSIDE = 6
"""Of each face, if there are so many."""
NONE = 2**32 - 1
"""In the place of a face, where there are fewer."""
_ROWS_AT_ONCE = 512
_ENTRIES_AT_ONCE = 1 << 19  # 20 MB

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


def outside_in_neighbors(neighbors: Neighbors, groups: Faces) -> Found:
    """Of all faces [n], from their recorded neighbors. `groups` [n] are the numbers of the groups; faces with `NONE` as
    number are left out.

    All neighbors of a face in a large group may be in it. Then the others are asked whose neighbor it is. Memory: 100
    bytes a face.
    """
    count = len(groups)
    found = np.full((count, OUTSIDE), NONE, np.uint32), np.full((count, OUTSIDE), np.inf, np.float32)
    for one, other, distances in _pairs_apart(neighbors, groups):
        first = np.searchsorted(one, one)
        near = np.flatnonzero(np.arange(len(one)) - first < OUTSIDE)
        _keep_nearest(found, one[near], other[near], distances[near])
    few = found[0][:, -1] == NONE
    for one, other, distances in _pairs_apart(neighbors, groups):
        asked = np.flatnonzero(few[other])
        _keep_nearest(found, other[asked], one[asked], distances[asked])
    faces, distances = found
    return faces.astype(np.int64), np.where(faces == NONE, 0, distances).astype(np.float64)


def _pairs_apart(neighbors: Neighbors, groups: Faces) -> Iterator[tuple[Faces, Faces, npt.NDArray[np.float32]]]:
    """Yields faces in ascending order, and neighbors of each in other groups, the nearest first."""
    starts = np.asarray(neighbors.starts, np.int64)
    for start, end in pieces(starts, _ENTRIES_AT_ONCE):
        part = slice(int(starts[start]), int(starts[end]))
        one = np.repeat(np.arange(start, end), np.diff(starts[start : end + 1]))
        other = np.asarray(neighbors.faces[part], np.intp)
        # A damaged file may name faces that do not exist.
        there = np.flatnonzero((other >= 0) & (other < len(groups)) & (groups[one] != NONE))
        there = there[(groups[other[there]] != groups[one[there]]) & (groups[other[there]] != NONE)]
        yield one[there], other[there], neighbors.distances[part][there]


def _keep_nearest(
    found: tuple[npt.NDArray[np.uint32], Float32], of: Faces, faces: Faces, distances: npt.NDArray[np.float32]
) -> None:
    """Adds `faces` to those that were found for the faces `of`, where they are nearer."""
    nearer = np.flatnonzero(distances < found[1][of, -1])
    if not len(nearer):
        return
    targets = np.unique(of[nearer])
    of = np.concatenate([np.repeat(targets, OUTSIDE), of[nearer]])
    faces = np.concatenate([found[0][targets].ravel().astype(np.intp), faces[nearer]])
    distances = np.concatenate([found[1][targets].ravel(), distances[nearer]])
    order = np.lexsort((faces, distances, of))
    of, faces, distances = of[order], faces[order], distances[order]
    # A pair is there twice if each is among the nearest of the other.
    twice = (np.diff(of, prepend=-1) == 0) & (np.diff(faces, prepend=-1) == 0) & (faces != NONE)
    of, faces, distances = of[~twice], faces[~twice], distances[~twice]
    rank = np.arange(len(of)) - np.searchsorted(of, of)
    kept = rank < OUTSIDE
    found[0][of[kept], rank[kept]] = faces[kept]
    found[1][of[kept], rank[kept]] = distances[kept]


def _empty(count: int) -> Found:
    return np.full((count, OUTSIDE), NONE, np.int64), np.zeros((count, OUTSIDE), np.float64)
