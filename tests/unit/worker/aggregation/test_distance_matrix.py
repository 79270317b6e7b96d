"""Distances against SciPy's float64 cdist."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from worker.aggregation import distance_matrix as distances
from worker.aggregation.distance_matrix import write_distances


def _unit_vectors(n: int) -> np.ndarray:
    vectors = np.random.default_rng(5).normal(size=(n, 512))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _matrix(vectors: np.ndarray, threads: int = 2) -> np.ndarray:
    out = np.full((len(vectors), len(vectors)), np.nan, np.float32)
    write_distances(vectors, out, threads)
    return out


def test_2000_faces_with_duplicates_and_near_duplicates() -> None:
    """Within 1e-6 of float64 everywhere, exactly symmetric, exactly 0 on the diagonal."""
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
    """None, one, and both sides of a tile's edge."""
    vectors = _unit_vectors(n)
    assert np.allclose(_matrix(vectors), cdist(vectors, vectors), atol=1e-6)


def test_threads_do_not_move_a_bit() -> None:
    """One thread or three."""
    vectors = _unit_vectors(2500)
    assert np.array_equal(_matrix(vectors, 1), _matrix(vectors, 3))


def test_memory_is_bounded_by_the_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tile is larger than it should be."""
    shapes = []
    fill = distances._fill_tile
    monkeypatch.setattr(distances, "TILE_ROWS", 16)
    monkeypatch.setattr(
        distances, "_fill_tile", lambda e, o, r, c: (shapes.append(e[r : r + 16].shape), fill(e, o, r, c))
    )
    vectors = _unit_vectors(50)
    assert np.allclose(_matrix(vectors), cdist(vectors, vectors), atol=1e-6)
    assert max(shapes) == (16, 512)
