"""Finds in one tile of the pair matrix which pairs may be among the nearest of one of their two faces.

The tile is multiplied in float32, sub-tile after sub-tile, with a bound that covers the error of float32.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from shared.analysis.candidates import Candidates, Wanted, known_bound, reached_bounds, threshold_bound
from shared.domain.arrays import Float32
from shared.results.distance_tiles import one_blas_thread
from shared.results.neighbors_file import Rows

BLOCK_ROWS = 1024
"""Rows of a sub-tile: one of float32 takes 4 MiB."""


def screen_tile(
    embeddings: Float32,
    rows: range,
    cols: range,
    wanted: Wanted,
    threads: int,
    known: Sequence[Sequence[Candidates]] = ((), ()),
) -> tuple[Candidates, Candidates]:
    """The candidates of `rows` among `cols`, and the other way round; twice the same if they are the same.

    `embeddings` is float32 [n, d], each about of length 1; it may be mapped from a file. The two ranges are the same,
    or have no face in common. `known` are candidates of the rows, and those of the columns, from other tiles: they
    spare this one some. Memory: some 50 bytes for each wanted neighbor of each row and column.
    """
    search = _Search(embeddings, rows, cols, wanted, known)
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        for tiles in search.rounds():
            for found in _bounded_map(pool, search.look_at, tiles, 2 * threads):
                search.add(*found)
            search.raise_bounds()
    return search.candidates()


class _Scratch(threading.local):
    """A thread's memory for one sub-tile after another: fresh memory would cost as much as the product."""

    def __init__(self) -> None:
        self.closeness = np.empty((BLOCK_ROWS, BLOCK_ROWS), np.float32)
        self.wanted = np.empty((2, BLOCK_ROWS, BLOCK_ROWS), bool)


class _Search:
    """Goes through the sub-tiles, diagonal by diagonal. Rows, then columns are numbered from 0 (`place`).

    The closeness of two faces is a.b - (|a|^2 + |b|^2) / 2, which is -distance^2 / 2. `_bound` holds for each place a
    closeness that its wanted neighbors reach; it rises after the diagonals 1, 2, 4, 8, ..., by which all faces have
    seen twice as many others.
    """

    def __init__(
        self,
        embeddings: Float32,
        rows: range,
        cols: range,
        wanted: Wanted,
        known: Sequence[Sequence[Candidates]],
    ) -> None:
        self._wanted, self._rows, self._cols = wanted, rows, cols
        self._same = rows == cols
        self._left = 0 if self._same else len(rows)  # the place of the first column
        self._a, self._b = (embeddings[some.start : some.stop] for some in (rows, cols))
        halves = [_halves(self._a)] if self._same else [_halves(self._a), _halves(self._b)]
        self._halves = np.concatenate(halves)
        # A product of d terms is off by at most d * epsilon * |a| |b|.
        longest = float(np.finfo(np.float32).eps * 2 * self._halves.max(initial=0))
        self._error = 2 * (embeddings.shape[1] + 8) * longest
        self._within = threshold_bound(wanted, self._error)
        sides = list(zip((rows,) if self._same else (rows, cols), known, strict=False))
        self._bound = np.concatenate([known_bound(parts, len(side), self._error) for side, parts in sides])
        self._one, self._other = np.empty(0, np.int32), np.empty(0, np.int32)
        self._closeness = np.empty(0, np.float32)
        self._new: list[tuple[Rows, Rows, Float32]] = []
        self._scratch = _Scratch()

    def rounds(self) -> Iterator[list[tuple[int, int]]]:
        """The sub-tiles, by the first row and the first column, in groups between which the bounds rise."""
        high, wide = (-(-len(some) // BLOCK_ROWS) for some in (self._rows, self._cols))
        diagonals = max(high, wide)
        first, last = 0, 1
        while first < diagonals:
            yield [
                (row * BLOCK_ROWS, col % diagonals * BLOCK_ROWS)
                for diagonal in range(first, min(last, diagonals))
                for row in range(high)
                if (col := row + diagonal) < wide or (not self._same and col % diagonals < wide and col >= diagonals)
            ]
            first, last = last, 2 * last

    def look_at(self, tile: tuple[int, int]) -> tuple[Rows, Rows, Float32]:
        """The pairs of a sub-tile that may matter, by place, and their closeness."""
        top, left = tile
        closeness = self._multiply(top, left)
        height, width = closeness.shape
        col_place = self._left + left
        row_bound, col_bound = self._bound[top : top + height], self._bound[col_place : col_place + width]
        on_diagonal = self._same and top == left
        if np.isneginf(row_bound).any() or np.isneginf(col_bound).any():
            row_bound = np.maximum(row_bound, self._bound_within(closeness, same=on_diagonal))
            col_bound = row_bound if on_diagonal else np.maximum(col_bound, self._bound_within(closeness.T, same=False))
        for_row, for_col = (
            wanted.reshape(-1)[: height * width].reshape(height, width) for wanted in self._scratch.wanted
        )
        np.greater_equal(closeness, row_bound[:, None], out=for_row)
        np.greater_equal(closeness, col_bound, out=for_col)
        for_row |= for_col
        one, other = np.divmod(np.flatnonzero(for_row), width)
        if on_diagonal:
            once = one < other
            one, other = one[once], other[once]
        return (one + top).astype(np.int32), (other + col_place).astype(np.int32), closeness[one, other]

    def _multiply(self, top: int, left: int) -> Float32:
        rows, cols = self._a[top : top + BLOCK_ROWS], self._b[left : left + BLOCK_ROWS]
        closeness = self._scratch.closeness.reshape(-1)[: len(rows) * len(cols)].reshape(len(rows), len(cols))
        np.matmul(rows, cols.T, out=closeness)
        closeness -= self._halves[top : top + len(rows), None]
        closeness -= self._halves[self._left + left : self._left + left + len(cols)]
        return closeness

    def _bound_within(self, closeness: Float32, *, same: bool) -> Float32:
        """What the nearest of each row of a sub-tile reach; lower than any closeness if it is too small."""
        # Among themselves, each face is also its own neighbor.
        place = closeness.shape[1] - self._wanted.kept - same
        if place < 0:
            return np.full(len(closeness), -np.inf, np.float32)
        bound: Float32 = np.partition(closeness, place, axis=1)[:, place] - np.float32(self._error)
        np.minimum(bound, self._within, out=bound)
        return bound

    def add(self, one: Rows, other: Rows, closeness: Float32) -> None:
        """Keeps the pairs of a sub-tile."""
        self._new.append((one, other, closeness))

    def raise_bounds(self) -> None:
        """Raises the bounds to what the nearest known of each face reach, and forgets pairs below both bounds."""
        ones, others, values = zip((self._one, self._other, self._closeness), *self._new, strict=True)
        self._new.clear()
        one, other, closeness = np.concatenate(ones), np.concatenate(others), np.concatenate(values)
        places, both = np.concatenate([one, other]), np.tile(closeness, 2)
        reached_bounds(places, both, self._bound, self._wanted, self._error)
        keep = closeness >= np.minimum(self._bound[one], self._bound[other])
        self._one, self._other, self._closeness = one[keep], other[keep], closeness[keep]

    def candidates(self) -> tuple[Candidates, Candidates]:
        """Those of the rows and those of the columns."""
        one, other, closeness = self._one, self._other, self._closeness
        for_one, for_other = closeness >= self._bound[one], closeness >= self._bound[other]
        row_part = one[for_one], other[for_one], closeness[for_one]
        col_part = other[for_other], one[for_other], closeness[for_other]
        if self._same:
            places, others, values = (np.concatenate(pair) for pair in zip(row_part, col_part, strict=True))
            found = self._directed(places, others, values, 0, self._rows, self._rows)
            return found, found
        return (
            self._directed(*row_part, 0, self._rows, self._cols),
            self._directed(*col_part, self._left, self._cols, self._rows),
        )

    def _directed(
        self, places: Rows, others: Rows, closeness: Float32, begin: int, rows: range, cols: range
    ) -> Candidates:
        order = np.argsort(places, kind="stable")
        starts = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(np.bincount(places - begin, minlength=len(rows)), out=starts[1:])
        # From places to faces: columns begin after the rows.
        first = cols.start - (self._left if begin == 0 else 0)
        bound = self._bound[begin : begin + len(rows)]
        return Candidates(starts, (others[order] + first).astype(np.int32), closeness[order], bound, self._error)


def _halves(embeddings: Float32) -> Float32:
    """Half of the square of each embedding's length."""
    halves = np.empty(len(embeddings), np.float32)
    for first in range(0, len(embeddings), BLOCK_ROWS):
        block = np.asarray(embeddings[first : first + BLOCK_ROWS], np.float64)
        halves[first : first + BLOCK_ROWS] = np.einsum("nd,nd->n", block, block) / 2
    return halves


def _bounded_map(
    pool: ThreadPoolExecutor, function: Callable[..., Any], items: list[Any], window: int
) -> Iterator[Any]:
    """`pool.map` that keeps at most `window` results waiting."""
    pending = []
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) >= window:
            yield pending.pop(0).result()
    for future in pending:
        yield future.result()
