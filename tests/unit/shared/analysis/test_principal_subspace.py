"""Embeddings in fewer dimensions: which neighbors are found does not depend on it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.analysis import near_pairs, pair_screening
from shared.analysis.near_pairs import near_neighbors
from shared.analysis.neighbors import nearest
from shared.analysis.principal_subspace import MOST_LOST, principal_basis, project
from shared.domain.arrays import Float32
from shared.results.distances import Distances


def _in_a_subspace(faces: int, dimensions: int, outside: float, seed: int = 0) -> Float32:
    """Embeddings [faces, 64] near a subspace of so many dimensions, in pairs of near faces, turned at random."""
    random = np.random.default_rng(seed)
    spread = np.where(np.arange(64) < dimensions, 1, outside)
    values = random.standard_normal((faces, 64)) * spread
    values[1::2] = values[: len(values[1::2]) * 2 : 2] + 0.3 * values[1::2]
    turned = values @ np.linalg.qr(random.standard_normal((64, 64)))[0]
    return (turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(
    faces=st.integers(3, 150),
    dimensions=st.integers(1, 40),
    outside=st.sampled_from([0.0, 1e-4, 2e-3, 1e-2, 0.1, 1.0]),
    count=st.integers(1, 20),
    rows=st.integers(3, 60),
    within=st.one_of(st.none(), st.floats(0.2, 1.5)),
)
def test_neighbors_are_those_of_all_dimensions(
    faces: int, dimensions: int, outside: float, count: int, rows: int, within: float | None
) -> None:
    """Whatever lies outside of the subspace, to the last bit."""
    embeddings = _in_a_subspace(faces, dimensions, outside)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_pairs, "_PROJECTED_FROM", 1)
        patch.setattr(pair_screening, "BLOCK_ROWS", rows)
        found = near_neighbors(embeddings, count, 1, within=within, block_rows=2 * rows)
        patch.setattr(near_pairs, "_PROJECTED_FROM", 10**9)
        expected = near_neighbors(embeddings, count, 1, within=within)
    assert found.starts.tolist() == expected.starts.tolist()
    assert found.faces.tolist() == expected.faces.tolist()
    assert found.distances.tobytes() == expected.distances.tobytes()
    if within is None:
        rows_, _ = nearest(Distances(embeddings), np.arange(faces), count)
        assert found.faces.reshape(rows_.shape).tolist() == rows_.tolist()


@given(st.integers(2, 60), st.integers(1, 30), st.sampled_from([0.0, 1e-3, 0.03]))
@settings(max_examples=30, deadline=None)
def test_distances_lose_no_more_than_is_said(faces: int, dimensions: int, outside: float) -> None:
    """And gain nothing."""
    embeddings = _in_a_subspace(faces, dimensions, outside)
    basis = np.linalg.qr(np.random.default_rng(1).standard_normal((64, dimensions)))[0]  # any subspace
    projected = np.empty((faces, dimensions), np.float32)
    lost = project(embeddings, basis, projected)

    def squares(of: Float32) -> np.ndarray:
        return np.square(of[:, None].astype(np.float64) - of[None].astype(np.float64)).sum(axis=2)

    difference = squares(embeddings) - squares(projected)
    assert difference.min() > -1e-6
    assert difference.max() <= lost + 1e-6


def test_the_subspace_of_a_network_that_uses_few_dimensions_is_found() -> None:
    """And of one that uses all, none is."""
    basis = principal_basis(_in_a_subspace(300, 20, 1e-3))
    assert basis is not None
    assert basis.shape == (64, 32)
    np.testing.assert_allclose(basis.T @ basis, np.eye(32), atol=1e-12)
    assert principal_basis(_in_a_subspace(300, 64, 1.0)) is None
    assert principal_basis(_in_a_subspace(300, 40, 1e-3)) is None  # more than half


def test_faces_outside_of_the_subspace_are_found_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not in the sample that the subspace is made from."""
    embeddings = _in_a_subspace(9000, 20, 1e-3)
    strangers = _in_a_subspace(4, 64, 1.0, seed=1)
    embeddings[1:9:2] = strangers  # every second face is in the sample
    basis = principal_basis(embeddings)
    assert basis is not None
    assert project(embeddings, basis, np.empty((9000, basis.shape[1]), np.float32)) > MOST_LOST
    found = near_neighbors(embeddings, 5, 2)
    monkeypatch.setattr(near_pairs, "_PROJECTED_FROM", 10**9)
    expected = near_neighbors(embeddings, 5, 2)
    assert found.faces.tobytes() == expected.faces.tobytes()
