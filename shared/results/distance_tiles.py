"""The kernel that computes Euclidean distances, and the size of the tiles that it is called with."""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from shared.domain.arrays import Float32

TILE_ROWS = 1024
"""Rows of a tile. Fixed, as are the BLAS threads: both would change the last bits. Two tiles of 1,024 by 512 in
float64, and one of 1,024 by 1,024, take 16 MiB."""


def euclidean_tile(a: Float32, b: Float32) -> Float32:
    """The Euclidean distance from each row of `a` [m, d] to each of `b` [n, d]: float32 [m, n].

    Call it within `one_blas_thread`. |a - b|^2 = |a|^2 + |b|^2 - 2ab in float64: in float32 it loses near-duplicates
    (an error of 1e-7 in the square is one of 3e-4 in a distance near 0). If `a` and `b` are one object, BLAS computes
    half the products, and their last bits may differ from those of two equal arrays.
    """
    left = np.asarray(a, np.float64)
    right = left if b is a else np.asarray(b, np.float64)
    products = left @ right.T
    products *= 2.0
    squares = (left * left).sum(axis=1)[:, None] + (right * right).sum(axis=1)[None, :]
    squares -= products
    del products
    np.maximum(squares, 0.0, out=squares)
    np.sqrt(squares, out=squares)
    distances: Float32 = squares.astype(np.float32)
    return distances


def one_blas_thread() -> AbstractContextManager[Any]:
    """A context in which BLAS uses one thread, so that its bits do not depend on the machine."""
    limits: AbstractContextManager[Any] = threadpool_limits(limits=1, user_api="blas")
    return limits
