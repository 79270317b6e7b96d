"""The Euclidean distance matrix, in tiles: memory is bounded by the tile, not by the number of faces."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations_with_replacement

import numpy as np
from threadpoolctl import threadpool_limits

from shared.domain.arrays import Float32

# Fixed, as are the BLAS threads of a tile: both would change the last bits.
TILE_ROWS = 1024


def write_distances(embeddings: Float32, out: Float32, threads: int) -> None:
    """Fills `out` [n, n] with the Euclidean distances between the rows of `embeddings` [n, d].

    Exactly symmetric, exactly 0 on the diagonal. |a - b|^2 = |a|^2 + |b|^2 - 2ab in float64: in float32 it loses
    near-duplicates (an error of 1e-7 in the square is one of 3e-4 in a distance near 0).
    """
    starts = range(0, len(embeddings), TILE_ROWS)
    pairs = combinations_with_replacement(starts, 2)
    with threadpool_limits(limits=1), ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        for _ in _bounded_map(pool, lambda pair: _fill_tile(embeddings, out, *pair), pairs, 2 * max(1, threads)):
            pass


def _fill_tile(embeddings: Float32, out: Float32, row: int, col: int) -> None:
    a = np.asarray(embeddings[row : row + TILE_ROWS], np.float64)
    b = a if row == col else np.asarray(embeddings[col : col + TILE_ROWS], np.float64)
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2.0 * (a @ b.T)
    tile = np.sqrt(np.maximum(squares, 0.0)).astype(np.float32)
    if row == col:
        tile = np.triu(tile, 1)
        tile += tile.T
    out[row : row + len(a), col : col + len(b)] = tile
    out[col : col + len(b), row : row + len(a)] = tile.T


def _bounded_map(pool, function, items, window: int) -> Iterator[None]:  # type: ignore[no-untyped-def]
    """`pool.map` that submits only `window` items ahead: the pairs of a large matrix are millions."""
    pending = []
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) >= window:
            yield pending.pop(0).result()
    for future in pending:
        yield future.result()
