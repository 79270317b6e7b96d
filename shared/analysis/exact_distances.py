"""The distances of single pairs, with the bits of `distances.npy`."""

import numpy as np
import numpy.typing as npt

from shared.analysis.ragged import Index, pieces
from shared.domain.arrays import Float32
from shared.results.distance_tiles import euclidean_tile, one_blas_thread
from shared.results.neighbors_file import Rows

Float64 = npt.NDArray[np.float64]
_ROWS_AT_A_TIME = 128  # in float64 they stay in the cache
_PAIRS_AT_A_TIME = 512
_PAIRS_A_TILE = 128
_FLOAT64_ERROR = 1e-12
"""A square's error is less, with 512 or fewer products of embeddings of length 1."""


class ExactDistances:
    """The distances among some faces."""

    def __init__(self, embeddings: Float32) -> None:
        """`embeddings` is float32 [n, d], each about of length 1; it may be mapped from a file."""
        self._embeddings = np.asarray(embeddings)  # taking rows of a `memmap` takes longer
        self._squares = np.empty(len(embeddings))
        for first in range(0, len(embeddings), _ROWS_AT_A_TIME):
            rows = self._embeddings[first : first + _ROWS_AT_A_TIME].astype(np.float64)
            np.vecdot(rows, rows, out=self._squares[first : first + len(rows)])

    def of_pairs(self, one: Rows, other: Rows) -> Float32:
        """The distance of each pair [m]: float32 [m]."""
        products, lefts, rights = np.empty(len(one)), self._scratch(), self._scratch()
        for first in range(0, len(one), _ROWS_AT_A_TIME):
            last = first + _ROWS_AT_A_TIME
            left, right = lefts.take(one[first:last]), rights.take(other[first:last])
            np.vecdot(left, right, out=products[first:last])
        return self._rounded(one, other, products)

    def from_each(self, rows: Rows, starts: Index, others: Rows) -> Float32:
        """The distances from each of `rows` [r] to those of `others` [m] that stand from its start to the next:
        float32 [m].
        """
        products, scratch = np.empty(len(others)), self._scratch()
        for first, last in pieces(starts, _PAIRS_AT_A_TIME):
            # Many pairs in a call, during which other threads run.
            near = scratch.take(others[starts[first] : starts[last]])
            for left, begin, end in zip(
                self._embeddings[rows[first:last]].astype(np.float64),
                starts[first:last],
                starts[first + 1 : last + 1],
                strict=True,
            ):
                np.matmul(near[begin - starts[first] : end - starts[first]], left, out=products[begin:end])
        return self._rounded(np.repeat(rows, np.diff(starts)), others, products)

    def _scratch(self) -> "_Scratch":
        return _Scratch(self._embeddings)

    def _rounded(self, one: Rows, other: Rows, products: Float64) -> Float32:
        squares = self._squares[one] + self._squares[other] - 2 * products
        low, high = (
            np.sqrt(np.maximum(squares + error, 0)).astype(np.float32) for error in (-_FLOAT64_ERROR, _FLOAT64_ERROR)
        )
        # Another order of summation may round these to the next float32.
        unsure = np.flatnonzero(low != high)
        with one_blas_thread():
            for first in range(0, len(unsure), _PAIRS_A_TILE):
                these = unsure[first : first + _PAIRS_A_TILE]
                low[these] = np.diag(euclidean_tile(self._embeddings[one[these]], self._embeddings[other[these]]))
        return low


class _Scratch:
    """Memory for some rows in float64."""

    def __init__(self, embeddings: Float32) -> None:
        self._embeddings = embeddings
        self._double = np.empty((0, embeddings.shape[1]))
        self._single = self._double.astype(np.float32)

    def take(self, rows: Rows) -> Float64:
        """These rows, until the next call. Numbers that are no rows give others."""
        if len(self._double) < len(rows):
            self._double = np.empty((len(rows), self._double.shape[1]))
            self._single = np.empty(self._double.shape, np.float32)
        single, double = self._single[: len(rows)], self._double[: len(rows)]
        self._embeddings.take(rows, axis=0, out=single, mode="clip")  # the other modes make a copy
        np.copyto(double, single)
        return double
