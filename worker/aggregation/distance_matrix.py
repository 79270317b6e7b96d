"""Computes the Euclidean distance matrix in tiles: memory depends on the tile, not on the number of faces."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32
from shared.results.distance_tiles import TILE_ROWS, euclidean_tile, one_blas_thread

Item = TypeVar("Item")
Places = npt.NDArray[np.intp]
_NEW = -1
_COPIED_BYTES = 16 * 2**20
"""Of the earlier matrix, in memory at once."""
_SHORTEST_RUN = 16
"""If runs of columns are shorter than this on average, gathering single elements is faster than copying run by run."""
_MOST_NEW = 0.25
"""Above this share of new faces, computing everything is faster: it computes each pair once, not twice."""


@dataclass(frozen=True)
class KnownDistances:
    """An earlier matrix, and where its faces are now."""

    matrix: Float32
    """[m, m], from the same arithmetic."""
    rows: Places
    """Of each face now: its row in that matrix, or -1."""

    @property
    def suffices(self) -> bool:
        """Whether copying is faster than computing everything."""
        return bool((self.rows == _NEW).sum() <= _MOST_NEW * len(self.rows))


def write_distances(embeddings: Float32, out: Float32, threads: int, known: KnownDistances | None = None) -> None:
    """Fills `out` [n, n] with the Euclidean distances between the rows of `embeddings` [n, d].

    The matrix is exactly symmetric, and exactly 0 on the diagonal. Distances between two faces of an earlier matrix are
    copied from it: they have the same bits.
    """
    threads = max(1, threads)
    starts = range(0, len(embeddings), TILE_ROWS)
    with one_blas_thread(), ThreadPoolExecutor(max_workers=threads) as pool:
        if known is None or not known.suffices:
            pairs = combinations_with_replacement(starts, 2)
            for_all(pool, lambda pair: _fill_tile(embeddings, out, *pair), pairs, 2 * threads)
        else:
            update = _Update(embeddings, out, known)
            for_all(pool, update.fill_known_rows, starts, threads)
            update.fill_new_rows()


def _fill_tile(embeddings: Float32, out: Float32, row: int, col: int) -> None:
    a = embeddings[row : row + TILE_ROWS]
    b = embeddings[col : col + TILE_ROWS]
    tile = euclidean_tile(a, b)
    if row == col:
        np.fill_diagonal(tile, 0.0)
    out[row : row + len(a), col : col + len(b)] = tile
    out[col : col + len(b), row : row + len(a)] = tile.T


class _Update:
    """Fills a matrix of which an earlier one has most distances."""

    def __init__(self, embeddings: Float32, out: Float32, known: KnownDistances) -> None:
        self._embeddings, self._out, self._known = embeddings, out, known
        self._new = np.flatnonzero(known.rows == _NEW)
        self._old = np.flatnonzero(known.rows != _NEW)
        self._columns = known.rows[self._old]
        self._runs = list(_runs(self._old, self._columns))

    def fill_known_rows(self, start: int) -> None:
        """Fills the rows of known faces in one tile, over all columns."""
        rows = np.arange(start, min(start + TILE_ROWS, len(self._out)))
        rows = rows[self._known.rows[rows] != _NEW]
        self._copy(rows)
        self._compute(rows, self._new)

    def fill_new_rows(self) -> None:
        """Fills the rows of new faces: together, because the kernel pads their number."""
        self._compute(self._new, np.arange(len(self._out)))

    def _copy(self, rows: Places) -> None:
        portion = max(1, _COPIED_BYTES // (4 * max(1, len(self._known.matrix))))
        for there, earlier, length in _runs(rows, self._known.rows[rows]):
            for first in range(0, length, portion):
                count = min(portion, length - first)
                block = self._known.matrix[earlier + first : earlier + first + count]
                target = self._out[there + first : there + first + count]
                if len(self._old) < _SHORTEST_RUN * len(self._runs):
                    target[:, self._old] = block[:, self._columns]
                    continue
                for begin, column, width in self._runs:
                    target[:, begin : begin + width] = block[:, column : column + width]

    def _compute(self, rows: Places, columns: Places) -> None:
        for top in range(0, len(rows), TILE_ROWS):
            for left in range(0, len(columns), TILE_ROWS):
                here, there = rows[top : top + TILE_ROWS], columns[left : left + TILE_ROWS]
                tile = euclidean_tile(self._embeddings[here], self._embeddings[there])
                tile[here[:, None] == there[None, :]] = 0.0
                self._out[np.ix_(here, there)] = tile


def _runs(here: Places, there: Places) -> Iterator[tuple[int, int, int]]:
    """Where both sequences go up by one: their first values, and the length."""
    if not len(here):
        return
    breaks = np.flatnonzero((np.diff(here) != 1) | (np.diff(there) != 1)) + 1
    for begin, end in zip([0, *breaks], [*breaks, len(here)], strict=True):
        yield int(here[begin]), int(there[begin]), int(end - begin)


def for_all(pool: ThreadPoolExecutor, work: Callable[[Item], None], items: Iterable[Item], window: int) -> None:
    """Calls `work` with every item, at most `window` of them submitted at a time: a large matrix has millions."""
    pending: list[Any] = []
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) >= window:
            pending.pop(0).result()
    for future in pending:
        future.result()
