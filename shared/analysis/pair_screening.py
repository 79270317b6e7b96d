"""Finds in one tile of the pair matrix which pairs may be among the nearest of one of their two faces.

The tile is multiplied in float32, sub-tile after sub-tile, with a bound that covers the error of float32.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from shared.analysis.candidates import Candidates, Wanted, known_bound, reached_bounds, threshold_bound
from shared.analysis.ragged import Index, row_order, starts_of
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
    lost: float = 0.0,
) -> tuple[Candidates, Candidates]:
    """The candidates of `rows` among `cols`, and the other way round; twice the same if they are the same.

    `embeddings` is float32 [n, d], each about of length 1; it may be mapped from a file. The two ranges are the same,
    or have no face in common. `known` are candidates of the rows, and those of the columns, from other tiles: they
    spare this one some. `lost` is the most that a squared distance of the faces is larger than that of `embeddings`, if
    these are projections (`principal_subspace`). Memory: some 50 bytes for each wanted neighbor of each row and column.
    """
    search = _Search(embeddings, rows, cols, wanted, known, lost)
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        for found in _bounded_map(pool, search.look_at, search.sub_tiles(), 2 * threads):
            search.add(found)
    return search.candidates()


class _Scratch(threading.local):
    """A thread's memory for one sub-tile after another: fresh memory would cost as much as the product."""

    def __init__(self) -> None:
        self.all = [np.empty((BLOCK_ROWS, BLOCK_ROWS), dtype) for dtype in (np.float32, bool, bool)]


class _Entries(NamedTuple):
    """Pairs, by the places of their faces."""

    place: Rows
    other: Rows
    closeness: Float32

    def part(self, index: Index | slice) -> "_Entries":
        """Some of them."""
        return _Entries(self.place[index], self.other[index], self.closeness[index])


class _Search:
    """Goes through the sub-tiles, diagonal by diagonal. Rows, then columns are numbered from 0 (`place`).

    The closeness of two faces is a.b - (|a|^2 + |b|^2) / 2, which is -distance^2 / 2. `_bound` holds for each place a
    closeness that its wanted neighbors reach. It rises whenever the pairs have doubled: then each takes part in few
    sortings, and few are kept that are too far.
    """

    def __init__(
        self,
        embeddings: Float32,
        rows: range,
        cols: range,
        wanted: Wanted,
        known: Sequence[Sequence[Candidates]],
        lost: float,
    ) -> None:
        self._wanted, self._rows, self._cols = wanted, rows, cols
        self._same = rows == cols
        self._left = 0 if self._same else len(rows)  # the place of the first column
        self._a, self._b = (embeddings[some.start : some.stop] for some in (rows, cols))
        halves = [_halves(self._a)] if self._same else [_halves(self._a), _halves(self._b)]
        self._halves = np.concatenate(halves)
        # A product of d terms is off by at most d * epsilon * |a| |b|.
        longest = float(np.finfo(np.float32).eps * 2 * self._halves.max(initial=0))
        self._error = 2 * (embeddings.shape[1] + 8) * longest + lost
        self._within = threshold_bound(wanted, self._error)
        sides = list(zip((rows,) if self._same else (rows, cols), known, strict=False))
        self._bound = np.concatenate([known_bound(parts, len(side), self._error) for side, parts in sides])
        self._found = _Entries(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))
        self._new: list[_Entries] = []
        self._count = 0
        """Of the new ones."""
        self._scratch = _Scratch()

    def sub_tiles(self) -> Iterator[tuple[int, int]]:
        """Each by its first row and its first column, diagonal by diagonal: on each, all faces see some others."""
        high, wide = (-(-len(some) // BLOCK_ROWS) for some in (self._rows, self._cols))
        diagonals = max(high, wide)
        for diagonal in range(diagonals):
            for row in range(high):
                col = row + diagonal
                if col < wide or (not self._same and col % diagonals < wide and col >= diagonals):
                    yield row * BLOCK_ROWS, col % diagonals * BLOCK_ROWS

    def look_at(self, tile: tuple[int, int]) -> _Entries:
        """The pairs of a sub-tile that may matter, by place, and their closeness."""
        top, left = tile
        rows, cols = self._a[top : top + BLOCK_ROWS], self._b[left : left + BLOCK_ROWS]
        height, width = len(rows), len(cols)
        products, for_row, for_col = (
            scratch.reshape(-1)[: height * width].reshape(height, width) for scratch in self._scratch.all
        )
        np.matmul(rows, cols.T, out=products)
        col_place = self._left + left
        row_half, col_half = self._halves[top : top + height], self._halves[col_place : col_place + width]
        row_bound, col_bound = self._bound[top : top + height], self._bound[col_place : col_place + width]
        on_diagonal = self._same and top == left
        if np.isneginf(row_bound).any() or np.isneginf(col_bound).any():
            closeness = products - row_half[:, None]
            closeness -= col_half
            row_bound = np.maximum(row_bound, self._bound_within(closeness, same=on_diagonal))
            col_bound = row_bound if on_diagonal else np.maximum(col_bound, self._bound_within(closeness.T, same=False))
        # What a product must reach, whatever the other face's length.
        np.greater_equal(products, (row_bound + row_half + col_half.min())[:, None], out=for_row)
        np.greater_equal(products, col_bound + col_half + row_half.min(), out=for_col)
        for_row |= for_col
        found = np.flatnonzero(for_row)
        one = found // width
        other = found - one * width
        if on_diagonal:
            once = np.flatnonzero(one < other)
            found, one, other = found[once], one[once], other[once]
        near = products.reshape(-1)[found] - row_half[one] - col_half[other]
        return _Entries((one + top).astype(np.int32), (other + col_place).astype(np.int32), near)

    def _bound_within(self, closeness: Float32, *, same: bool) -> Float32:
        """What the nearest of each row of a sub-tile reach; lower than any closeness if it is too small."""
        # Among themselves, each face is also its own neighbor.
        place = closeness.shape[1] - self._wanted.kept - same
        if place < 0:
            return np.full(len(closeness), -np.inf, np.float32)
        bound: Float32 = np.partition(closeness, place, axis=1)[:, place] - np.float32(self._error)
        np.minimum(bound, self._within, out=bound)
        return bound

    def add(self, pairs: _Entries) -> None:
        """Keeps the pairs of a sub-tile, each for those of its places whose bound it reaches."""
        for entries in pairs, _Entries(pairs.other, pairs.place, pairs.closeness):
            self._new.append(self._reaching(entries))
            self._count += len(self._new[-1].place)
        if self._count > max(len(self._found.place), self._wanted.kept * len(self._bound)):
            self._raise_bounds()

    def _raise_bounds(self) -> None:
        """Raises the bounds to what the nearest known of each face reach, and forgets what is below them."""
        entries = _Entries(*map(np.concatenate, zip(self._found, *self._new, strict=True)))
        self._new, self._count = [], 0
        entries = entries.part(row_order(entries.place, len(self._bound)))
        starts = starts_of(entries.place, len(self._bound))
        bound = self._bound.copy()  # other threads read it
        reached_bounds(entries.closeness, starts, bound, self._wanted, self._error)
        self._bound = bound
        self._found = self._reaching(entries)

    def _reaching(self, entries: _Entries) -> _Entries:
        return entries.part(np.flatnonzero(entries.closeness >= self._bound[entries.place]))

    def candidates(self) -> tuple[Candidates, Candidates]:
        """Those of the rows and those of the columns."""
        self._raise_bounds()
        if self._same:
            found = self._side(0, self._rows, self._rows.start)
            return found, found
        # From places to faces: columns begin after the rows.
        return self._side(0, self._rows, self._cols.start - self._left), self._side(
            self._left, self._cols, self._rows.start
        )

    def _side(self, begin: int, side: range, shift: int) -> Candidates:
        """The candidates of the places from `begin` on, as many as the side has; `shift` makes places to faces."""
        starts = starts_of(self._found.place, len(self._bound))[begin : begin + len(side) + 1]
        entries = self._found.part(slice(int(starts[0]), int(starts[-1])))
        faces = (entries.other + shift).astype(np.int32)
        bound = self._bound[begin : begin + len(side)]
        return Candidates(starts - starts[0], faces, entries.closeness, bound, self._error)


def _halves(embeddings: Float32) -> Float32:
    """Half of the square of each embedding's length."""
    halves = np.empty(len(embeddings), np.float32)
    for first in range(0, len(embeddings), BLOCK_ROWS):
        block = np.asarray(embeddings[first : first + BLOCK_ROWS], np.float64)
        halves[first : first + BLOCK_ROWS] = np.einsum("nd,nd->n", block, block) / 2
    return halves


def _bounded_map(
    pool: ThreadPoolExecutor, function: Callable[..., Any], items: Iterable[Any], window: int
) -> Iterator[Any]:
    """`pool.map` that keeps at most `window` results waiting."""
    pending = []
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) >= window:
            yield pending.pop(0).result()
    for future in pending:
        yield future.result()
