"""The independent check of nearest neighbors: scikit-learn's brute force in float64."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse
from sklearn.cluster import DBSCAN
from sklearn.neighbors import NearestNeighbors

from benchmarks.groups import made_up_faces
from shared.analysis.calibration import SAME_PERSON
from shared.domain.arrays import Float32
from shared.domain.job import Job
from tests.support.made_up_blocks import sealed_job
from worker.aggregation.neighbor_files import write_neighbors
from worker.aggregation.pair_stage import PairStage

_EXACTLY = 1e-6


def check_neighbors(faces: int, block_rows: int, count: int, folder: Path) -> None:
    """Writes the `count` nearest of made-up faces in one process and from tiles. Fails unless both files are equal and
    say the same as scikit-learn of the embeddings: who is nearest, but for ties, at distances within 1e-6, and which
    clusters DBSCAN makes of them.
    """
    embeddings, job = made_up_faces(faces), sealed_job(faces)
    job = replace(job, options=replace(job.options, neighbors=count))
    file = _write_in_both_ways(embeddings, job, block_rows, folder)
    found, exact = scipy.sparse.load_npz(file), embeddings.astype(np.float64)
    _check_rows(found, exact, count)
    near = 0.7  # splits some people and leaves faces alone
    clusters = DBSCAN(near, metric="precomputed").fit(found).labels_
    assert clusters.max() > faces // 100 and (clusters < 0).any()
    np.testing.assert_array_equal(clusters, DBSCAN(near, algorithm="brute").fit(exact).labels_)


def _write_in_both_ways(embeddings: Float32, job: Job, block_rows: int, folder: Path) -> Path:
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
    return files[0]


def _check_rows(found: scipy.sparse.csr_matrix, exact: np.ndarray, count: int) -> None:
    lengths = np.diff(found.indptr)
    with_ties = int(lengths.max()) + 10
    nearest = NearestNeighbors(n_neighbors=with_ties, algorithm="brute", metric="euclidean").fit(exact).kneighbors()
    np.testing.assert_array_equal(lengths, np.maximum(count, (nearest[0] <= SAME_PERSON).sum(axis=1)))
    for row, (distances, others) in enumerate(zip(*nearest, strict=True)):
        mine = slice(found.indptr[row], found.indptr[row + 1])
        values, farthest = found.data[mine], distances[lengths[row] - 1]
        np.testing.assert_allclose(values, distances[: lengths[row]], rtol=0, atol=_EXACTLY)
        at = dict(zip(others.tolist(), distances.tolist(), strict=True))
        faces = found.indices[mine].tolist()
        assert len(set(faces)) == len(faces)
        np.testing.assert_allclose(values, [at[face] for face in faces], rtol=0, atol=_EXACTLY)
        assert set(others[distances < farthest - _EXACTLY].tolist()) <= set(faces)
