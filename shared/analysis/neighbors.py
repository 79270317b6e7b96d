"""The faces nearest to a face."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32
from shared.results.distance_tiles import TILE_ROWS, one_blas_thread
from shared.results.distances import Distances, Faces

BLOCK_COLUMNS = 4096  # of 1,024 rows in float64: 32 MiB
Rows = npt.NDArray[np.int32]


def nearest(
    distances: Distances, faces: Faces, count: int, left_out: npt.NDArray[np.bool_] | None = None
) -> tuple[Rows, Float32]:
    """The `count` nearest other faces of each of `faces` [m], nearest first, ties in the order of their rows.

    Returns their rows, int32 [m, k], and their distances, float32 [m, k], with k = min(count, n - 1). Faces that are
    `left_out` [n] are not among them: where too few others are left, distances are infinite. Memory: these two arrays,
    and one block of distances.
    """
    kept = max(0, min(count, len(distances) - 1))
    rows, found = np.zeros((len(faces), kept), np.int32), np.full((len(faces), kept), np.inf, np.float32)
    if kept == 0:
        return rows, found
    with one_blas_thread():
        for start in range(0, len(faces), TILE_ROWS):
            some = slice(start, start + TILE_ROWS)
            for left in range(0, len(distances), BLOCK_COLUMNS):
                block = distances.between(faces[some], left, left + BLOCK_COLUMNS)
                own = faces[some] - left
                inside = np.flatnonzero((own >= 0) & (own < block.shape[1]))
                block[inside, own[inside]] = np.inf  # not itself
                if left_out is not None:
                    block[:, left_out[left : left + BLOCK_COLUMNS]] = np.inf
                _take_nearer(rows[some], found[some], block, left)
    return rows, found


def _take_nearer(rows: Rows, found: Float32, block: Float32, left: int) -> None:
    """Adds the nearer ones of `block` [m, c], whose first column is the face `left`, to `rows` and `found` [m, k]."""
    kept = found.shape[1]
    nearer = block < found[:, -1:]  # an equally near one comes after those of earlier blocks
    if kept < block.shape[1] and np.isinf(found[:, -1]).any():
        # Nothing is known yet, so all would be nearer. A partition picks any of the ties: all are kept.
        nearer &= block <= np.partition(block, kept - 1, axis=1)[:, kept - 1 : kept]
    which, columns = np.nonzero(nearer)
    begins = np.flatnonzero(np.diff(which, prepend=-1))
    for begin, end in pairwise([*begins.tolist(), len(which)]):
        row, new = which[begin], columns[begin:end]
        all_found = np.concatenate([found[row], block[row, new]])
        best = np.argsort(all_found, kind="stable")[:kept]
        rows[row] = np.concatenate([rows[row], (new + left).astype(np.int32)])[best]
        found[row] = all_found[best]
