"""The nearest neighbors of every face, exactly, from half of the pair matrix.

A tile of the matrix is multiplied in float32, which only has to tell which pairs may matter: those that may be among
the nearest of one of their two faces, by a bound that covers the error of float32. Their distances are then computed in
float64, with the bits of `distances.npy`.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32
from shared.domain.cpu_limits import usable_cores
from shared.results.distance_tiles import euclidean_tile, one_blas_thread
from shared.results.neighbors_file import Neighbors, Rows

BLOCK_ROWS = 1024
"""Rows of a tile: a tile of float32 takes 4 MiB."""
_PAIRS_AT_A_TIME = 4096  # two arrays of this many embeddings in float64
_PAIRS_A_TILE = 128
_FLOAT64_ERROR = 1e-12
"""A square's error is less, with 512 or fewer products of embeddings of length 1."""

Index = npt.NDArray[np.int64]


MOST_WITHIN = 1024
"""Neighbors of a face, if more are within the distance that is asked for."""


def near_neighbors(
    embeddings: Float32, count: int, threads: int | None = None, *, within: float | None = None
) -> Neighbors:
    """The `count` nearest others of each face, or all others if there are no more.

    With `within`, also all others up to this distance, but then not more than `MOST_WITHIN` in all.

    `embeddings` is float32 [n, d], each about of length 1; it may be mapped from a file. Memory: some 30 bytes for each
    neighbor, and some tiles. `threads` is by default one for each usable core.
    """
    faces, kept = len(embeddings), min(count, len(embeddings) - 1)
    if kept <= 0:
        return Neighbors(np.zeros(faces + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    wanted = _Wanted(kept, within, max(kept, min(MOST_WITHIN, faces - 1)))
    one, other = _candidates(embeddings, wanted, threads or usable_cores())
    return _nearest_of(faces, wanted, one, other, exact_distances(embeddings, one, other))


class _Wanted(NamedTuple):
    """Which neighbors are wanted."""

    kept: int
    within: float | None
    most: int


def _candidates(embeddings: Float32, wanted: _Wanted, threads: int) -> tuple[Rows, Rows]:
    """Pairs of faces, the first number smaller, that hold every pair of a face with one of its wanted neighbors."""
    search = _Search(embeddings, wanted)
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        for tiles in search.rounds():
            for found in _bounded_map(pool, search.look_at, tiles, 2 * threads):
                search.add(*found)
            search.raise_bounds()
    return search.one, search.other


class _Scratch(threading.local):
    """A thread's memory for one tile after another: fresh memory would cost as much as the product."""

    def __init__(self) -> None:
        self.closeness = np.empty((BLOCK_ROWS, BLOCK_ROWS), np.float32)
        self.wanted = np.empty((2, BLOCK_ROWS, BLOCK_ROWS), bool)


class _Search:
    """Goes through the tiles of half of the matrix, diagonal by diagonal.

    The closeness of two faces is a.b - (|a|^2 + |b|^2) / 2, which is -distance^2 / 2. `_bound` holds for each face a
    closeness that its wanted neighbors reach; it rises after the diagonals 1, 2, 4, 8, ..., by which all faces have
    seen twice as many others.
    """

    def __init__(self, embeddings: Float32, wanted: _Wanted) -> None:
        self._kept, self._most = wanted.kept, wanted.most
        self._embeddings = embeddings
        halves = np.empty(len(embeddings), np.float32)
        for rows in _blocks(len(embeddings)):
            block = np.asarray(embeddings[rows], np.float64)
            halves[rows] = np.einsum("nd,nd->n", block, block) / 2
        self._halves = halves
        # A product of d terms is off by at most d * epsilon * |a| |b|.
        self._error = 2 * (embeddings.shape[1] + 8) * float(np.finfo(np.float32).eps * 2 * halves.max())
        # Every bound of the nearest is lowered to this one.
        self._within = np.float32(np.inf if wanted.within is None else -(wanted.within**2) / 2 - self._error)
        self._bound = np.full(len(embeddings), -np.inf, np.float32)
        self.one, self.other = np.empty(0, np.int32), np.empty(0, np.int32)
        self._closeness = np.empty(0, np.float32)
        self._new: list[tuple[Rows, Rows, Float32]] = []
        self._scratch = _Scratch()

    def rounds(self) -> Iterator[list[tuple[int, int]]]:
        """The tiles, by the first row and the first column, in groups between which the bounds rise."""
        blocks = -(-len(self._embeddings) // BLOCK_ROWS)
        first, last = 0, 1
        while first < blocks:
            yield [
                (row * BLOCK_ROWS, (row + diagonal) * BLOCK_ROWS)
                for diagonal in range(first, min(last, blocks))
                for row in range(blocks - diagonal)
            ]
            first, last = last, 2 * last

    def look_at(self, tile: tuple[int, int]) -> tuple[Rows, Rows, Float32]:
        """The pairs of a tile that may matter, and their closeness."""
        top, left = tile
        closeness = self._multiply(top, left)
        height, width = closeness.shape
        row_bound, col_bound = self._bound[top : top + height], self._bound[left : left + width]
        if np.isneginf(row_bound).any():
            row_bound = self._bound_within(closeness, same=top == left)
            col_bound = row_bound if top == left else self._bound_within(closeness.T, same=False)
        for_row, for_col = (wanted[:height, :width] for wanted in self._scratch.wanted)
        np.greater_equal(closeness, row_bound[:, None], out=for_row)
        np.greater_equal(closeness, col_bound, out=for_col)
        for_row |= for_col
        wanted = np.ascontiguousarray(for_row).reshape(-1)
        one, other = np.divmod(np.flatnonzero(wanted), width)
        if top == left:
            once = one < other
            one, other = one[once], other[once]
        return (one + top).astype(np.int32), (other + left).astype(np.int32), closeness[one, other]

    def _multiply(self, top: int, left: int) -> Float32:
        rows, cols = (self._embeddings[first : first + BLOCK_ROWS] for first in (top, left))
        closeness = self._scratch.closeness.reshape(-1)[: len(rows) * len(cols)].reshape(len(rows), len(cols))
        np.matmul(rows, cols.T, out=closeness)
        closeness -= self._halves[top : top + BLOCK_ROWS, None]
        closeness -= self._halves[left : left + BLOCK_ROWS]
        return closeness

    def _bound_within(self, closeness: Float32, *, same: bool) -> Float32:
        """What the nearest of each row of a tile reach; lower than any closeness if the tile is too small."""
        # Among themselves, each face is also its own neighbor.
        place = closeness.shape[1] - self._kept - same
        if place < 0:
            return np.full(len(closeness), -np.inf, np.float32)
        bound: Float32 = np.partition(closeness, place, axis=1)[:, place] - np.float32(self._error)
        np.minimum(bound, self._within, out=bound)
        return bound

    def add(self, one: Rows, other: Rows, closeness: Float32) -> None:
        """Keeps the pairs of a tile."""
        self._new.append((one, other, closeness))

    def raise_bounds(self) -> None:
        """Raises the bounds to what the nearest known of each face reach, and forgets pairs below both bounds."""
        ones, others, values = zip((self.one, self.other, self._closeness), *self._new, strict=True)
        self._new.clear()
        one, other, closeness = np.concatenate(ones), np.concatenate(others), np.concatenate(values)
        counts = np.bincount(one, minlength=len(self._bound)) + np.bincount(other, minlength=len(self._bound))
        begins = np.cumsum(counts) - counts
        in_order = _in_order(np.concatenate([one, other]), np.tile(-closeness, 2))

        def reached(place: int) -> tuple[Index, Float32]:
            full = np.flatnonzero(counts >= place)
            return full, -in_order[begins[full] + place - 1] - np.float32(self._error)

        full, nearest = reached(self._kept)
        self._bound[full] = np.minimum(nearest, self._within)
        full, most = reached(self._most)
        self._bound[full] = np.maximum(self._bound[full], most)
        keep = closeness >= np.minimum(self._bound[one], self._bound[other])
        self.one, self.other, self._closeness = one[keep], other[keep], closeness[keep]


def _in_order(rows: Rows, values: Float32) -> Float32:
    """The values, sorted by row and then by value; negative ones count as 0."""
    # One sort of integers: the bits of floats from 0 up are in their order.
    keys = rows.astype(np.uint64) << np.uint64(32)
    keys |= np.maximum(values, 0).view(np.uint32)
    keys.sort()
    return keys.astype(np.uint32).view(np.float32)


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


def _nearest_of(faces: int, wanted: _Wanted, one: Rows, other: Rows, distances: Float32) -> Neighbors:
    rows, columns = np.concatenate([one, other]), np.concatenate([other, one])
    both = np.tile(distances, 2)
    by_number = np.argsort(columns, kind="stable")
    rows, columns, both = rows[by_number], columns[by_number], both[by_number]
    order, starts = _sorted_rows(rows, both, faces)
    counts = np.full(faces, wanted.kept)
    if wanted.within is not None:
        near = np.bincount(rows[both <= np.float32(wanted.within)], minlength=faces)
        counts = np.maximum(counts, np.minimum(near, wanted.most))
    ends = np.cumsum(counts)
    chosen = order[np.repeat(starts[:-1] - (ends - counts), counts) + np.arange(ends[-1])]
    return Neighbors(np.concatenate([[0], ends]), columns[chosen], both[chosen])


def _sorted_rows(rows: Rows, values: Float32, count: int) -> tuple[npt.NDArray[np.intp], Index]:
    """The order of entries by row and value, stable, and where each of `count` rows begins."""
    by_value = np.argsort(values, kind="stable")
    order = by_value[np.argsort(rows[by_value], kind="stable")]
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=count), out=starts[1:])
    return order, starts


def _blocks(count: int) -> Iterator[slice]:
    return (slice(first, min(count, first + BLOCK_ROWS)) for first in range(0, count, BLOCK_ROWS))


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
