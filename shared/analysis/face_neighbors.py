"""The neighbors of faces some of which are equal: among the nearest, an embedding counts once, by its first face."""

from collections.abc import Iterator

import numpy as np

from shared.analysis.copies import Copies
from shared.domain.arrays import Float32
from shared.results.distances import Faces
from shared.results.neighbors_file import Neighbors, Rows


def rows_of_faces(distinct: Neighbors, copies: Copies) -> Iterator[Neighbors]:
    """The rows of all faces in order, some thousand at a time, from the neighbors of the distinct embeddings.

    The row of a face begins with an equal one at distance 0, if there is any: the first of these, or after the first
    the next. Then come the neighbors of its embedding, each by its first face.
    """
    twin = _twins(copies)
    for begin in range(0, len(twin), _ROWS):
        faces = np.arange(begin, min(begin + _ROWS, len(twin)))
        yield _rows(distinct, copies, faces, twin[faces])


_ROWS = 4096
_ABOVE_ALL = 4.0
"""No distance of embeddings of length 1 is larger."""


def _twins(copies: Copies) -> Faces:
    """Of each face an equal one, or -1: of the first the second, of all others the first."""
    twin = copies.first[copies.number]
    twin[copies.first] = -1
    later = np.flatnonzero(twin != -1)
    # Written from the last to the first, so that the second face of each embedding remains.
    twin[twin[later[::-1]]] = later[::-1]
    return twin


def _rows(distinct: Neighbors, copies: Copies, faces: Faces, twin: Faces) -> Neighbors:
    number = copies.number[faces]
    lengths = np.diff(distinct.starts)[number]
    has_twin = twin != -1
    ends = np.cumsum(lengths + has_twin)
    begins = ends - lengths
    found, distances = np.empty(ends[-1], np.int32), np.empty(ends[-1], np.float32)
    offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    there, here = np.repeat(distinct.starts[number], lengths) + offsets, np.repeat(begins, lengths) + offsets
    found[here] = copies.first[distinct.faces[there]]
    distances[here] = distinct.distances[there]
    found[begins[has_twin] - 1], distances[begins[has_twin] - 1] = twin[has_twin], 0
    return Neighbors(np.concatenate([[0], ends]), found, distances)


def rows_of_embeddings(neighbors: Neighbors, copies: Copies, within: float) -> Neighbors:
    """The neighbors of each distinct embedding [m] up to the distance `within`, from those of all faces. If all are
    distinct, these are all neighbors, and nothing is copied.

    ResultsError if they name faces that do not exist. Memory: 8 bytes for each neighbor within the distance.
    """
    if len(copies.first) == len(neighbors):
        return neighbors
    limit = np.float32(min(within, _ABOVE_ALL))
    starts = np.asarray(neighbors.starts, np.int64)
    begins = starts[copies.first] + (copies.counts > 1)
    lengths = np.maximum(0, starts[copies.first + 1] - begins)
    counts = np.zeros(len(begins) + 1, np.int64)
    parts: list[tuple[Rows, Float32]] = []
    for begin in range(0, len(begins), _ROWS):
        some = slice(begin, begin + _ROWS)
        row = np.repeat(np.arange(begin, begin + len(begins[some])), lengths[some])
        at = np.arange(len(row)) - np.repeat(np.cumsum(lengths[some]) - lengths[some] - begins[some], lengths[some])
        near = np.flatnonzero(neighbors.distances[at] <= limit)
        faces, distances = neighbors.at(at[near])
        parts.append((copies.number[faces].astype(np.int32), distances))
        counts[1 + begin : 1 + begin + len(begins[some])] = np.bincount(row[near] - begin, minlength=len(begins[some]))
    found, distances = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Neighbors(np.cumsum(counts), found, distances)
