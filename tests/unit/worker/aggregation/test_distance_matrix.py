"""Distances compared with SciPy's float64 cdist."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from benchmarks.peak_memory import peak_memory
from shared.results.distance_tiles import TILE_ROWS
from tests.support.stage import ROOT
from worker.aggregation.distance_matrix import write_distances


def _unit_vectors(n: int) -> np.ndarray:
    vectors = np.random.default_rng(5).normal(size=(n, 512))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _matrix(vectors: np.ndarray, threads: int = 2) -> np.ndarray:
    out = np.full((len(vectors), len(vectors)), np.nan, np.float32)
    write_distances(vectors, out, threads)
    return out


def test_2000_faces_with_duplicates_and_near_duplicates() -> None:
    """All are within 1e-6 of float64, exactly symmetric, and exactly 0 on the diagonal."""
    vectors = _unit_vectors(2000)
    vectors[100:150] = vectors[0:50]
    vectors[200:250] = vectors[0:50]
    vectors[200:250, 0] += np.float32(1e-4)
    matrix = _matrix(vectors)
    exact = cdist(vectors.astype(np.float64), vectors.astype(np.float64))
    assert np.abs(matrix - exact).max() < 1e-6
    assert 0.9e-4 < matrix[0, 200] < 1.1e-4
    assert (matrix == matrix.T).all()
    assert (np.diag(matrix) == 0).all()


@pytest.mark.parametrize("n", [0, 1, 2, 1024, 1025])
def test_any_number_of_faces(n: int) -> None:
    """None, one, and the numbers around a tile's size."""
    vectors = _unit_vectors(n)
    assert np.allclose(_matrix(vectors), cdist(vectors, vectors), atol=1e-6)


def test_threads_do_not_move_a_bit() -> None:
    """One thread or three give the same bits."""
    vectors = _unit_vectors(2500)
    assert np.array_equal(_matrix(vectors, 1), _matrix(vectors, 3))


_CHILD = """
import sys
from pathlib import Path
import numpy as np
from worker.aggregation.distance_matrix import write_distances
from worker.aggregation.reserved_array import new_array

folder, faces = Path(sys.argv[1]), int(sys.argv[2])
embeddings = np.load(folder / f"{faces}.npy", mmap_mode="r")
write_distances(embeddings, new_array(folder / f"{faces}.out.npy", (faces, faces)), 1)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_memory_is_bounded_by_the_tile(tmp_path: Path) -> None:
    """A sixteen times larger matrix takes no more private memory when it is written to a mapped file."""
    few, many = 2 * TILE_ROWS, 8 * TILE_ROWS
    peaks = {}
    for faces in (few, many):
        np.save(tmp_path / f"{faces}.npy", _unit_vectors(faces))
        command = [sys.executable, "-c", _CHILD, str(tmp_path), str(faces)]
        # One thread: BLAS sets memory aside for each core of the machine.
        peak = peak_memory(command, ROOT, PYTHONPATH=str(ROOT), OPENBLAS_NUM_THREADS="1")
        assert peak.exit_code == 0
        peaks[faces] = peak.private
    tile_mib = TILE_ROWS**2 * 8 / 2**20
    assert peaks[few] > 2 * tile_mib  # the memory of tiles was seen
    assert peaks[many] - peaks[few] < 4 * tile_mib  # the whole matrix is 32 of them
