"""The distances of single pairs, with the bits of `distances.npy`."""

import numpy as np

from shared.domain.arrays import Float32
from shared.results.distance_tiles import euclidean_tile, one_blas_thread
from shared.results.neighbors_file import Rows

_PAIRS_AT_A_TIME = 256  # their embeddings in float64 stay in the cache
_PAIRS_A_TILE = 128
_FLOAT64_ERROR = 1e-12
"""A square's error is less, with 512 or fewer products of embeddings of length 1."""


def exact_distances(embeddings: Float32, one: Rows, other: Rows) -> Float32:
    """The distance of each pair [m]: float32 [m], with the bits that `euclidean_tile` gives."""
    distances = np.empty(len(one), np.float32)
    doubtful = []
    for first in range(0, len(one), _PAIRS_AT_A_TIME):
        part = slice(first, first + _PAIRS_AT_A_TIME)
        difference = np.subtract(embeddings[one[part]], embeddings[other[part]], dtype=np.float64)
        squares = np.einsum("nd,nd->n", difference, difference)
        low, high = (
            np.sqrt(np.maximum(squares + error, 0)).astype(np.float32) for error in (-_FLOAT64_ERROR, _FLOAT64_ERROR)
        )
        distances[part] = low
        doubtful.append(first + np.flatnonzero(low != high))
    # Another order of summation may round these to the next float32.
    unsure = np.concatenate(doubtful) if doubtful else np.empty(0, np.int64)
    with one_blas_thread():
        for first in range(0, len(unsure), _PAIRS_A_TILE):
            these = unsure[first : first + _PAIRS_A_TILE]
            distances[these] = np.diag(euclidean_tile(embeddings[one[these]], embeddings[other[these]]))
    return distances
