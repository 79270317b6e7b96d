"""The mean embedding of each group, and from these the mean squared distance between the faces of two groups.

The mean of |a - b|^2, over all pairs of a face of one group and a face of another, is the sum of both groups' mean
squared lengths, less twice the product of their mean embeddings: no pair has to be known.

Values are whole numbers of 2^-23. Products of such are exact in float64 in any order of summation, so they have
the same bits on every processor.
"""

import numpy as np
import numpy.typing as npt

from shared.analysis.copies import Copies
from shared.domain.arrays import Float32

Groups = npt.NDArray[np.int32]
Values = npt.NDArray[np.float64]

UNIT = 2.0**-23
"""Embeddings are about of length 1: a product is less than 2^46 units, and a value fits into a float32."""
_AT_ONCE = 256  # their means in float64 stay in the cache
_ROWS_AT_ONCE = 4096


def in_units(embeddings: Float32) -> Values:
    """Embeddings as whole numbers of `UNIT`."""
    return np.rint(embeddings * np.float64(1 / UNIT))


class GroupMeans:
    """Groups of m distinct embeddings, each known by its first. At first each is a group of its own."""

    def __init__(self, embeddings: Float32, copies: Copies) -> None:
        """`embeddings` float32 [n, d] may be mapped from a file; `copies` says which of them are equal."""
        self._embeddings, self._first = embeddings, copies.first
        count = len(copies.first)
        self._sizes = copies.counts.astype(np.float64)
        self._squares = np.empty(count)
        for begin in range(0, count, _ROWS_AT_ONCE):
            rows = in_units(embeddings[self._first[begin : begin + _ROWS_AT_ONCE]])
            self._squares[begin : begin + len(rows)] = np.einsum("nd,nd->n", rows, rows)
        # Means of groups that were joined; the memory is taken as it is written.
        self._means = np.empty((count // 2, embeddings.shape[1]), np.float32)
        self._place = np.full(count, -1, np.int32)  # in `_means`
        self._free = np.arange(count // 2 - 1, -1, -1, dtype=np.int32)
        self._free_count = count // 2

    def __len__(self) -> int:
        return len(self._sizes)

    def join(self, low: Groups, high: Groups) -> None:
        """Makes each of `low` the group of both; no group is among them twice."""
        for begin in range(0, len(low), _AT_ONCE):
            self._join(low[begin : begin + _AT_ONCE], high[begin : begin + _AT_ONCE])

    def _join(self, low: Groups, high: Groups) -> None:
        sizes = self._sizes[low] + self._sizes[high]
        share, rest = self._sizes[low] / sizes, self._sizes[high] / sizes
        means = np.rint(share[:, None] * self._rows(low) + rest[:, None] * self._rows(high))
        self._squares[low] = share * self._squares[low] + rest * self._squares[high]
        self._sizes[low] = sizes
        for group, other in zip(low.tolist(), high.tolist(), strict=True):
            self._take_place(group, other)
        self._means[self._place[low]] = means

    def _take_place(self, group: int, other: int) -> None:
        if self._place[group] < 0 <= self._place[other]:
            self._place[group] = self._place[other]
        elif self._place[group] < 0:
            self._free_count -= 1
            self._place[group] = self._free[self._free_count]
        elif self._place[other] >= 0:
            self._free[self._free_count] = self._place[other]
            self._free_count += 1

    def mean_squares(self, one: Groups, other: Groups) -> Values:
        """The mean squared distance between the faces of each pair of groups [k]: float64 [k]."""
        found = np.empty(len(one))
        for begin in range(0, len(one), _AT_ONCE):
            a, b = one[begin : begin + _AT_ONCE], other[begin : begin + _AT_ONCE]
            products = np.einsum("nd,nd->n", self._rows(a), self._rows(b))
            found[begin : begin + len(a)] = self._squares[a] + self._squares[b] - 2 * products
        return np.maximum(found, 0) * UNIT**2

    def _rows(self, groups: Groups) -> Values:
        """The means of these groups in units."""
        place = self._place[groups]
        joined = place >= 0
        rows = np.empty((len(groups), self._means.shape[1]))
        rows[joined] = self._means[place[joined]]
        rows[~joined] = in_units(self._embeddings[self._first[groups[~joined]]])
        return rows
