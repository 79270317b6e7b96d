"""The distances within each group, for the heat map of any of them."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32
from shared.report.data_scripts import UNIT
from shared.report.face_order import FaceOrder
from shared.results.distance_tiles import one_blas_thread

MOST_FACES = 200
"""Of a group; a larger one is represented by as many, evenly spread over its order."""
_MOST_BYTES = 64 << 20
_FACES_AT_ONCE = 4096  # embeddings in float64: 16 MiB
_CHUNK_BYTES = 512 << 10

Steps = npt.NDArray[np.uint16]


def group_pairs(order: FaceOrder, embeddings: Float32) -> Iterator[tuple[int, Steps]]:
    """Yields runs of groups: how many groups, and their distances (above the diagonal, row after row, group after
    group) in steps of `UNIT`. It ends before their bytes exceed 64 MiB: smaller groups have none then.

    `embeddings` [n, d] are those of faces.csv. Memory: one run.
    """
    room = _MOST_BYTES // 2
    run: list[Steps] = []
    groups = pairs = 0
    with one_blas_thread():
        for found in _equal_groups(order, embeddings):
            for distances in found:
                if len(distances) > room:
                    break
                room -= len(distances)
                run.append(distances)
                groups, pairs = groups + 1, pairs + len(distances)
                if 2 * pairs >= _CHUNK_BYTES:
                    yield groups, np.concatenate(run)
                    run, groups, pairs = [], 0, 0
            else:
                continue
            break
    if groups:
        yield groups, np.concatenate(run)


def _equal_groups(order: FaceOrder, embeddings: Float32) -> Iterator[Steps]:
    """The distances of some groups at a time, each with the same number of shown faces: uint16 [groups, pairs]."""
    starts, shown = order.starts[:-1], np.minimum(order.sizes, MOST_FACES)
    begin = 0
    while begin < len(shown):
        faces = int(shown[begin])
        end = int(np.searchsorted(-shown, -faces, side="right"))
        end = min(end, begin + max(1, _FACES_AT_ONCE // faces))
        sizes = order.sizes[begin:end, None]
        places = starts[begin:end, None] + np.arange(faces) * sizes // faces
        yield _distances(np.asarray(embeddings[order.rows[places]], np.float64))
        begin = end


def _distances(groups: npt.NDArray[np.float64]) -> Steps:
    """Of the embeddings [g, m, d] of g groups: uint16 [g, m (m - 1) / 2]."""
    products = groups @ groups.transpose(0, 2, 1)
    one, other = np.triu_indices(groups.shape[1], 1)
    lengths = np.einsum("gmd,gmd->gm", groups, groups)
    squares = lengths[:, one] + lengths[:, other] - 2 * products[:, one, other]
    distances = np.sqrt(np.maximum(squares, 0))
    found: Steps = (np.clip(distances, 0, 2) / UNIT).round().astype(np.uint16)
    return found
