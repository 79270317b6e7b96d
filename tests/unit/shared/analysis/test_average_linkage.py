"""Average linkage of our own is SciPy's, bit for bit."""

import time

import numpy as np
import pytest
from scipy.cluster.hierarchy import leaves_list, linkage

from shared.analysis.average_linkage import average_linkage, leaves_in_order
from shared.analysis.clustering import MAX_ORDERED_FACES
from shared.domain.arrays import Float32
from shared.results.distances import condensed


def _distances(faces: int, people: int, seed: int, *, decimals: int | None = None) -> Float32:
    """Between made-up faces; few decimals make many of them equal."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(people, 16))
    points = centers[rng.integers(0, people, faces)] + rng.normal(scale=0.3, size=(faces, 16))
    square = np.linalg.norm(points[:, None] - points[None], axis=2).astype(np.float32)
    square = square if decimals is None else np.round(square, decimals)
    return (square + square.T) / 2


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize(("faces", "people"), [(2, 1), (3, 2), (40, 7), (388, 100), (700, 3)])
def test_trees_and_order_are_those_of_scipy(faces: int, people: int, decimals: int | None) -> None:
    """Also where many distances are equal, and where copies lie at distance 0."""
    for seed in range(3):
        square = _distances(faces, people, seed, decimals=decimals)
        tree, theirs = average_linkage(square), linkage(condensed(square, np.float64), method="average")
        assert tree.tobytes() == theirs.tobytes()
        assert leaves_in_order(tree, faces).tolist() == leaves_list(theirs).tolist()


def test_the_most_faces_take_seconds() -> None:
    """Of one processor; more faces are never linked."""
    square = _distances(MAX_ORDERED_FACES // 5, 50, 0)
    started = time.process_time()
    average_linkage(np.tile(square, (5, 5)))
    assert time.process_time() - started < 15
