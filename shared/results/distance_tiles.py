"""The kernel that computes Euclidean distances, and the size of the tiles that it is called with."""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_info, threadpool_limits

from shared.domain.arrays import Float32

TILE_ROWS = 1024
"""Rows of a tile. Two tiles of 1,024 by 512 in float64, and one of 1,024 by 1,024, take 16 MiB."""
_PADDING = 128
"""BLAS gets multiples of this many rows. It has other kernels for small matrices and for edges, with other last bits.
"""
_VERSION = 2
"""Raised whenever the code changes the last bits of a distance."""
_ROUNDING = 2.0**-43
"""Squares below this are 0: a product of two equal rows of length 1 with 512 elements is off by at most 512 * 2^-53,
and the square has two of it. Equal rows have distance 0, wherever they stand."""


def euclidean_tile(a: Float32, b: Float32) -> Float32:
    """The Euclidean distance from each row of `a` [m, d] to each of `b` [n, d]: float32 [m, n].

    The bits of a distance depend on its two rows alone: neither on their order, nor on the other rows. Call it within
    `one_blas_thread`. |a - b|^2 = |a|^2 + |b|^2 - 2ab in float64: in float32 it loses near-duplicates (an error of 1e-7
    in the square is one of 3e-4 in a distance near 0).
    """
    # Two arrays, also for the distances among `a`: BLAS would compute the product of an array with itself differently.
    left, right = _padded(a), _padded(b)
    products = left @ right.T
    products *= 2.0
    squares = (left * left).sum(axis=1)[:, None] + (right * right).sum(axis=1)[None, :]
    squares -= products
    del products
    squares[squares < _ROUNDING] = 0.0
    np.sqrt(squares, out=squares)
    distances: Float32 = squares[: len(a), : len(b)].astype(np.float32)
    return distances


def _padded(rows: Float32) -> npt.NDArray[np.float64]:
    """A copy in float64, with rows of zeros at its end."""
    count = max(1, -(-len(rows) // _PADDING)) * _PADDING
    padded = np.zeros((count, rows.shape[1]))
    padded[: len(rows)] = rows
    return padded


def arithmetic() -> str:
    """What the last bits of a distance depend on, besides its two embeddings: the kernel's version, NumPy and BLAS."""
    found = [library for library in threadpool_info() if library.get("user_api") == "blas"]
    # Other packages of the process may bring a BLAS of their own.
    numpys = [library for library in found if "numpy" in str(library.get("filepath"))] or found
    libraries = sorted(
        f"{library.get('internal_api')} {library.get('version')} {library.get('architecture')}" for library in numpys
    )
    return ", ".join([f"kernel {_VERSION}", f"numpy {np.__version__}", *libraries])


def one_blas_thread() -> AbstractContextManager[Any]:
    """A context in which BLAS uses one thread, so that its bits do not depend on the machine."""
    limits: AbstractContextManager[Any] = threadpool_limits(limits=1, user_api="blas")
    return limits
