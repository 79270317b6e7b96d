"""The independent check of nearest neighbors: brute force in float64, as scikit-learn does it."""

from pathlib import Path

import numpy as np
import scipy.sparse

from benchmarks.groups import made_up_faces
from shared.analysis.calibration import SAME_PERSON
from tests.support.made_up_blocks import sealed_job
from worker.aggregation.neighbor_files import write_neighbors
from worker.aggregation.pair_stage import PairStage

_K = 64
_AT_ONCE = 500


def check_neighbors(faces: int, block_rows: int, every: int, folder: Path) -> None:
    """Writes the neighbors of made-up faces in one process and from tiles. Fails unless both files are equal, and
    `every`th row has the faces that brute force finds (but for ties), at distances within 1e-6.
    """
    embeddings, job = made_up_faces(faces), sealed_job(faces)
    stage = PairStage.begin(job, [embeddings], folder, 0, block_rows)
    assert stage is not None and stage.plan.tiles > 10
    for tile in reversed(range(stage.plan.tiles)):
        stage.compute(tile, 2)
    files = []
    for name, made_with in (("once", None), ("tiles", stage)):
        (folder / name).mkdir()
        np.save(folder / name / "embeddings.npy", embeddings)
        write_neighbors(job, folder / name, 2, made_with)
        files.append(folder / name / "neighbors.npz")
    assert files[0].read_bytes() == files[1].read_bytes()
    found, exact = scipy.sparse.load_npz(files[0]), embeddings.astype(np.float64)
    rows = np.arange(0, faces, every)
    for first in range(0, len(rows), _AT_ONCE):
        some = rows[first : first + _AT_ONCE]
        squares = (exact[some] ** 2).sum(axis=1)[:, None] + (exact**2).sum(axis=1) - 2 * exact[some] @ exact.T
        for row, distances in zip(some, np.sqrt(np.maximum(squares, 0)), strict=True):
            distances[row] = np.inf
            mine = slice(found.indptr[row], found.indptr[row + 1])
            others, values = found.indices[mine], found.data[mine]
            assert len(set(others.tolist())) == len(others) == max(_K, int((distances <= SAME_PERSON).sum()))
            # Those at other distances than the farthest are determined by these two.
            np.testing.assert_allclose(
                values, np.sort(np.partition(distances, len(others))[: len(others)]), rtol=0, atol=1e-6
            )
            np.testing.assert_allclose(values, distances[others], rtol=0, atol=1e-6)
