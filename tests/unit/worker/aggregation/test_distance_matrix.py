"""Distances compared with SciPy's float64 cdist."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from benchmarks.peak_memory import peak_memory
from shared.results.distance_tiles import TILE_ROWS, euclidean_tile, one_blas_thread
from tests.support.stage import ROOT
from worker.aggregation.distance_matrix import KnownDistances, write_distances


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


def test_equal_rows_have_distance_zero() -> None:
    """Exactly, wherever they stand; a change of 1e-7 in every element is not taken for none."""
    vectors = _unit_vectors(300)
    changed = vectors + np.float32(1e-7) * np.sign(vectors)
    matrix = _matrix(np.concatenate([vectors, vectors[::-1], changed]))
    assert (np.diag(matrix[:300, 599:299:-1]) == 0).all()
    assert (np.diag(matrix[:300, 600:]) > 0).all()


@pytest.mark.parametrize("n", [0, 1, 2, 1024, 1025])
def test_any_number_of_faces(n: int) -> None:
    """None, one, and the numbers around a tile's size."""
    vectors = _unit_vectors(n)
    assert np.allclose(_matrix(vectors), cdist(vectors, vectors), atol=1e-6)


def test_threads_do_not_move_a_bit() -> None:
    """One thread or three give the same bits."""
    vectors = _unit_vectors(2500)
    assert np.array_equal(_matrix(vectors, 1), _matrix(vectors, 3))


_MANY = _unit_vectors(2300)
_WHOLE = _matrix(_MANY)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_the_bits_of_a_distance_depend_on_its_two_rows_alone(data: st.DataObject) -> None:
    """Not on the size of the tile, on their places in it, on their order, or on the other rows."""
    sizes = st.sampled_from([1, 2, 3, 7, 63, 64, 65, 127, 128, 129, 200, 500, 1023, 1024])
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    rows = random.permutation(len(_MANY))[: data.draw(sizes)]
    columns = random.permutation(len(_MANY))[: data.draw(sizes)]
    with one_blas_thread():
        tile = euclidean_tile(_MANY[rows], _MANY[columns])
        turned = euclidean_tile(_MANY[columns], _MANY[rows])
    tile[rows[:, None] == columns[None, :]] = 0
    turned[columns[:, None] == rows[None, :]] = 0
    assert np.array_equal(tile, _WHOLE[np.ix_(rows, columns)])
    assert np.array_equal(turned.T, tile)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_an_update_has_the_bits_of_a_matrix_from_nothing(data: st.DataObject) -> None:
    """Faces may go, come, be copied and change places, one by one or in long runs. Only new distances are computed."""
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    earlier = np.sort(random.permutation(len(_MANY))[: data.draw(st.sampled_from([1, 600, 1500, 2000]))])
    gone = data.draw(st.sampled_from([0.0, 0.001, 0.3]))
    kept = earlier[random.random(len(earlier)) >= gone]
    others = np.setdiff1d(np.arange(len(_MANY)), earlier)
    new = random.permutation(others)[: data.draw(st.sampled_from([0, 1, 30, 150]))]
    copies = kept[: data.draw(st.sampled_from([0, 0, 20]))]
    now = np.concatenate([kept, new, copies])
    now = random.permutation(now) if data.draw(st.booleans()) else np.sort(now)
    matrix = _WHOLE[np.ix_(earlier, earlier)]
    places = {int(face): place for place, face in enumerate(earlier)}
    known = KnownDistances(matrix, np.array([places.get(int(face), -1) for face in now], np.intp))
    out = np.full((len(now), len(now)), np.nan, np.float32)
    write_distances(_MANY[now], out, 2, known)
    assert np.array_equal(out, _WHOLE[np.ix_(now, now)])


def test_known_distances_are_not_computed_again() -> None:
    """A mark in the earlier matrix is found in the new one."""
    earlier = _WHOLE[:1500, :1500].copy()
    earlier[3, 1400] = 7
    out = np.empty((1510, 1510), np.float32)
    write_distances(_MANY[:1510], out, 1, KnownDistances(earlier, np.r_[0:1500, [-1] * 10]))
    assert out[3, 1400] == 7
    assert np.array_equal(out[1500:], _WHOLE[1500:1510, :1510])


_CHILD = """
import sys
from pathlib import Path
import numpy as np
from worker.aggregation.distance_matrix import KnownDistances, write_distances
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
