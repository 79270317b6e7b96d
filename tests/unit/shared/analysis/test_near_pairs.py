"""The nearest neighbors of all faces from half of the pair matrix are those of brute force, to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.analysis import candidates, near_pairs, pair_screening
from shared.analysis.exact_distances import ExactDistances
from shared.analysis.near_pairs import near_neighbors
from shared.analysis.neighbors import nearest
from shared.domain.arrays import Float32
from shared.results.distance_tiles import euclidean_tile, one_blas_thread
from shared.results.distances import Distances
from tests.support.results_folders import people


def _check(embeddings: Float32, count: int, threads: int, block_rows: int = 100_000) -> None:
    expected, distances = nearest(Distances(embeddings), np.arange(len(embeddings)), count)
    found = near_neighbors(embeddings, count, threads, block_rows=block_rows)
    assert np.diff(found.starts).tolist() == [expected.shape[1]] * len(embeddings)
    np.testing.assert_array_equal(found.faces.reshape(expected.shape), expected)
    assert found.distances.tobytes() == distances.tobytes()


@settings(max_examples=40, deadline=None)
@given(
    groups=st.integers(1, 40),
    each=st.integers(1, 6),
    copies=st.integers(1, 3),
    count=st.integers(1, 70),
    rows=st.integers(3, 200),
    block_rows=st.integers(3, 300),
    merged=st.integers(1, 2000),
    threads=st.integers(1, 3),
    spread=st.sampled_from([0.0, 1e-4, 0.3, 1.5]),
)
def test_neighbors_are_those_of_brute_force(
    groups: int,
    each: int,
    copies: int,
    count: int,
    rows: int,
    block_rows: int,
    merged: int,
    threads: int,
    spread: float,
) -> None:
    """With any number of blocks, tiles and threads; with equal, nearly equal and unrelated faces."""
    embeddings = np.tile(people(groups, each, spread=spread), (copies, 1))
    block_rows = max(block_rows, len(embeddings) // 15)  # time grows with the third power of the blocks
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_screening, "BLOCK_ROWS", rows)
        patch.setattr(near_pairs, "_MERGED_CANDIDATES", merged)
        _check(embeddings, count, threads, block_rows)


@settings(max_examples=20, deadline=None)
@given(
    groups=st.integers(1, 20),
    each=st.integers(1, 12),
    count=st.integers(1, 30),
    block_rows=st.integers(3, 100),
    within=st.floats(0.3, 1.5),
    most=st.integers(1, 40),
)
def test_neighbors_within_a_distance_do_not_depend_on_the_blocks(
    groups: int, each: int, count: int, block_rows: int, within: float, most: int
) -> None:
    """They are those of brute force: the nearest, and all within the distance up to a limit."""
    embeddings = people(groups, each, spread=0.6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "MOST_WITHIN", most)
        patch.setattr(pair_screening, "BLOCK_ROWS", 37)
        once = near_neighbors(embeddings, count, 1, within=within)
        tiled = near_neighbors(embeddings, count, 2, within=within, block_rows=block_rows)
    for a, b in ((once.starts, tiled.starts), (once.faces, tiled.faces), (once.distances, tiled.distances)):
        assert a.tobytes() == b.tobytes()
    everyone, distances = nearest(Distances(embeddings), np.arange(len(embeddings)), len(embeddings))
    for face in range(len(embeddings)):
        near = int((distances[face] <= np.float32(within)).sum())
        length = max(min(count, len(embeddings) - 1), min(near, max(most, min(count, len(embeddings) - 1))))
        length = min(length, len(embeddings) - 1)
        assert once.of(face)[0].tolist() == everyone[face][:length].tolist()


def test_many_tiles_of_the_usual_size() -> None:
    """Bounds rise several times, and the last tile of each row is cut."""
    _check(people(650, 8, spread=0.5), 20, 2)


@pytest.mark.parametrize("faces", [0, 1, 2])
def test_hardly_any_faces(faces: int) -> None:
    """No neighbor, or the only one."""
    found = near_neighbors(people(1, 2)[:faces], 20)
    assert len(found) == faces
    assert [found.of(face)[0].tolist() for face in range(faces)] == {0: [], 1: [[]], 2: [[1], [0]]}[faces]


def test_distances_have_the_bits_of_the_matrix() -> None:
    """Also near 0, where the two ways to compute a distance differ most."""
    random = np.random.default_rng(0)
    embeddings = people(20, 50, spread=0.5)
    nearly = embeddings + random.normal(scale=1e-5, size=embeddings.shape).astype(np.float32)
    both = np.concatenate([embeddings, nearly])
    one = np.concatenate([np.arange(1000), random.integers(0, 2000, 9000)]).astype(np.int32)
    other = np.concatenate([np.arange(1000, 2000), random.integers(0, 2000, 9000)]).astype(np.int32)
    with one_blas_thread():
        matrix = euclidean_tile(both, both)
    different = one != other
    found = ExactDistances(both).of_pairs(one[different], other[different])
    assert found.tobytes() == matrix[one[different], other[different]].tobytes()
