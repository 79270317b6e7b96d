"""The faces nearest to a face."""

import numpy as np
import numpy.typing as npt

from shared.report.distances import BLOCK_ROWS, Distances, Faces, Float32


def nearest(distances: Distances, faces: Faces, count: int) -> tuple[npt.NDArray[np.int32], Float32]:
    """The `count` nearest other faces of each of `faces` [m], nearest first, equally near ones in the order of their rows.

    Returns their rows, int32 [m, k], and their distances, float32 [m, k], with k = min(count, n - 1).
    """
    kept = max(0, min(count, len(distances) - 1))
    rows, found = np.empty((len(faces), kept), np.int32), np.empty((len(faces), kept), np.float32)
    if kept == 0:
        return rows, found
    for start in range(0, len(faces), BLOCK_ROWS):
        some = faces[start : start + BLOCK_ROWS]
        block = distances.rows(some).copy()
        block[np.arange(len(some)), some] = np.inf  # not itself
        reach = np.partition(block, kept - 1, axis=1)[:, kept - 1]
        for k, row in enumerate(block):
            # A partition picks any of those that are equally far: here all of them are looked at.
            candidates = np.flatnonzero(row <= reach[k])
            best = candidates[np.argsort(row[candidates], kind="stable")][:kept]
            rows[start + k], found[start + k] = best, row[best]
    return rows, found
