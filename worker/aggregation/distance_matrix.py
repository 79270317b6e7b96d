"""Computes the Euclidean distance matrix in tiles: memory depends on the tile, not on the number of faces."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations_with_replacement

import numpy as np

from shared.domain.arrays import Float32
from shared.results.distance_tiles import TILE_ROWS, euclidean_tile, one_blas_thread


def write_distances(embeddings: Float32, out: Float32, threads: int) -> None:
    """Fills `out` [n, n] with the Euclidean distances between the rows of `embeddings` [n, d].

    The matrix is exactly symmetric, and exactly 0 on the diagonal.
    """
    starts = range(0, len(embeddings), TILE_ROWS)
    pairs = combinations_with_replacement(starts, 2)
    with one_blas_thread(), ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        for _ in _bounded_map(pool, lambda pair: _fill_tile(embeddings, out, *pair), pairs, 2 * max(1, threads)):
            pass


def _fill_tile(embeddings: Float32, out: Float32, row: int, col: int) -> None:
    a = embeddings[row : row + TILE_ROWS]
    b = a if row == col else embeddings[col : col + TILE_ROWS]
    tile = euclidean_tile(a, b)
    if row == col:
        tile = np.triu(tile, 1)
        tile += tile.T
    out[row : row + len(a), col : col + len(b)] = tile
    out[col : col + len(b), row : row + len(a)] = tile.T


def _bounded_map(pool, function, items, window: int) -> Iterator[None]:  # type: ignore[no-untyped-def]
    """`pool.map` that submits at most `window` items ahead: a large matrix has millions of pairs."""
    pending = []
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) >= window:
            yield pending.pop(0).result()
    for future in pending:
        yield future.result()
