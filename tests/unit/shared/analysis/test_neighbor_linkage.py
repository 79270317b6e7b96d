"""Linkage over the nearest neighbors is SciPy's average linkage of the matrix that it stands for."""

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from shared.analysis.near_pairs import Neighbors, near_neighbors
from shared.analysis.neighbor_linkage import UNRELATED, link_neighbors
from tests.support.results_folders import people


def _same_partition(a: npt.NDArray[np.intp], b: npt.NDArray[np.intp]) -> bool:
    pairs = set(zip(a.tolist(), b.tolist(), strict=True))
    return len(pairs) == len(set(a.tolist())) == len(set(b.tolist()))


def _matrix(neighbors: Neighbors, copies: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Of all faces, copies included: distances of the nearest, 0 between copies, `UNRELATED` elsewhere."""
    square = np.full((len(neighbors), len(neighbors)), UNRELATED)
    for face in range(len(neighbors)):
        others, distances = neighbors.of(face)
        square[face, others] = square[others, face] = distances
    np.fill_diagonal(square, 0)
    return np.repeat(np.repeat(square, copies, axis=0), copies, axis=1)


@settings(max_examples=60, deadline=None)
@given(
    groups=st.integers(1, 12),
    each=st.integers(1, 6),
    count=st.integers(1, 12),
    spread=st.floats(0.2, 0.9),
    threshold=st.floats(0.3, 1.35),
    seed=st.integers(0, 1000),
)
def test_groups_are_those_of_average_linkage(
    groups: int, each: int, count: int, spread: float, threshold: float, seed: int
) -> None:
    """For any threshold below `UNRELATED`; a face that stands for several weighs as much as they would."""
    embeddings = people(groups, each, seed, spread=spread)
    copies = np.random.default_rng(seed).integers(1, 4, len(embeddings))
    neighbors = near_neighbors(embeddings, count)
    labels = link_neighbors(neighbors, copies, threshold)
    if copies.sum() > 1:
        tree = linkage(squareform(_matrix(neighbors, copies), checks=False), method="average")
        expected = fcluster(tree, threshold, criterion="distance")
        assert _same_partition(np.repeat(labels, copies), expected)


def test_faces_that_are_not_near_each_other_are_never_joined() -> None:
    """Whatever the threshold: nothing is known of their distance."""
    embeddings = people(4, 5, spread=0.2)
    labels = link_neighbors(near_neighbors(embeddings, 4), np.ones(20, np.int64), 10.0)
    assert len(set(labels.tolist())) == 4
