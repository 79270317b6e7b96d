"""The medoid of a group is the face in its middle."""

import numpy as np

from shared.analysis.copies import find_copies
from shared.analysis.medoids import medoid_distances


def _faces(count: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(count, 512))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def test_of_two_faces_the_first_is_the_medoid() -> None:
    """Each is as far from the other; rounding must not choose between them."""
    embeddings = _faces(400, 1)
    found = medoid_distances(find_copies(embeddings), np.arange(400) // 2 * 2, embeddings)
    assert not found[::2].any()
    assert (found[1::2] > 1).all()


def test_the_medoid_is_nearest_to_all_others() -> None:
    """As all distances tell, squared and summed."""
    embeddings = _faces(90, 2)
    found = medoid_distances(find_copies(embeddings), np.arange(90) // 30 * 30, embeddings)
    for group in np.split(np.arange(90), 3):
        squares = ((embeddings[group, None].astype(float) - embeddings[None, group]) ** 2).sum(axis=2)
        assert group[squares.sum(axis=1).argmin()] == group[found[group].argmin()]
