"""The nearest neighbors of every face, exactly, from half of the pair matrix.

Faces are divided into blocks, and the pair matrix into tiles of two blocks. Each tile is screened on its own
(`pair_screening`), here or in other processes; then the candidates of each face from all tiles are compared by their
exact distances. The result does not depend on the blocks.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from shared.analysis.candidates import Candidates, Wanted, merge, wanted_of
from shared.analysis.exact_distances import ExactDistances
from shared.analysis.pair_screening import screen_tile
from shared.analysis.principal_subspace import MOST_LOST, principal_basis, project
from shared.analysis.ragged import pieces, rectangles
from shared.domain.arrays import Float32
from shared.domain.cpu_limits import usable_cores
from shared.results.distance_tiles import one_blas_thread
from shared.results.neighbors_file import Neighbors, Rows

_MERGED_CANDIDATES = 500_000  # at a time in a thread: some 20 MB, and 8 MB of embeddings
_MERGED_ROWS = 4096

_PROJECTED_FROM = 4096
"""Faces: with fewer, finding the subspace takes longer than it saves."""

CandidatesOf = Callable[[int], Sequence[Candidates]]
"""The candidates of a block's faces, from each of its tiles."""
_BLOCK_ROWS = 16_384
"""60,000 faces take 290 MiB in such blocks, and 470 MiB in one, in the same time."""


def near_neighbors(
    embeddings: Float32,
    count: int,
    threads: int | None = None,
    *,
    within: float | None = None,
    block_rows: int = _BLOCK_ROWS,
) -> Neighbors:
    """The `count` nearest others of each face, or all others if there are no more.

    With `within`, also all others up to this distance, but then not more than `MOST_WITHIN` in all.

    `embeddings` is float32 [n, d], each about of length 1; it may be mapped from a file. Memory: some 50 bytes for each
    neighbor, up to half of the embeddings, and some sub-tiles. `threads` is by default one for each usable core.
    """
    faces, threads = len(embeddings), threads or usable_cores()
    wanted = wanted_of(count, within, faces)
    blocks = divide(faces, block_rows)
    found: list[dict[int, Candidates]] = [{} for _ in blocks]  # of each block with each other
    if wanted.kept:
        screened, lost = _projected(embeddings)
        for a, b in tiles_of(len(blocks)):
            known = [list(found[side].values()) for side in (a, b)]
            found[a][b], found[b][a] = screen_tile(screened, blocks[a], blocks[b], wanted, threads, known, lost)
    parts = merged(embeddings, blocks, lambda block: [found[block][b] for b in range(len(blocks))], wanted, threads)
    return concatenated(list(parts), faces)


def _projected(embeddings: Float32) -> tuple[Float32, float]:
    """What is screened, and what its squared distances lose."""
    basis = principal_basis(embeddings) if len(embeddings) >= _PROJECTED_FROM else None
    if basis is None:
        return embeddings, 0.0
    projected = np.empty((len(embeddings), basis.shape[1]), np.float32)
    lost = project(embeddings, basis, projected)
    return (projected, lost) if lost <= MOST_LOST else (embeddings, 0.0)


def divide(faces: int, block_rows: int) -> list[range]:
    """Faces in blocks of this many rows; the last may have fewer."""
    return [range(first, min(faces, first + block_rows)) for first in range(0, faces, block_rows)]


def tiles_of(blocks: int) -> list[tuple[int, int]]:
    """The tiles of half of the pair matrix, by their two blocks, diagonal by diagonal: what the first of a block have
    found spares the others candidates.
    """
    return [(block, block + diagonal) for diagonal in range(blocks) for block in range(blocks - diagonal)]


def merged(
    embeddings: Float32, blocks: Sequence[range], candidates_of: CandidatesOf, wanted: Wanted, threads: int
) -> Iterator[Neighbors]:
    """The rows of all faces in order, some at a time. Memory does not grow with the number of faces."""
    if not wanted.kept:
        yield from (Neighbors(np.zeros(len(rows) + 1, np.int64), *_NOTHING) for rows in blocks)
        return
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        distances, pending = ExactDistances(embeddings), []
        for block, rows in enumerate(blocks):
            parts = candidates_of(block)
            total = np.sum([part.starts for part in parts], axis=0)
            for begin, end in pieces(total, _MERGED_CANDIDATES, _MERGED_ROWS):
                some = [part.rows(begin, end) for part in parts]
                faces = np.arange(rows.start + begin, rows.start + end, dtype=np.int32)
                pending.append(pool.submit(nearest, distances, faces, some, wanted))
                if len(pending) > threads:
                    yield pending.pop(0).result()
        for future in pending:
            yield future.result()


_NOTHING = np.empty(0, np.int32), np.empty(0, np.float32)


def nearest(exact: ExactDistances, these: Rows, parts: Sequence[Candidates], wanted: Wanted) -> Neighbors:
    """The wanted neighbors of some faces, of which `parts` are the candidates."""
    count, found = len(parts[0]), merge(parts, wanted)
    starts, faces = found.starts, found.faces
    rows = np.repeat(np.arange(count, dtype=np.int32), np.diff(starts))
    distances = exact.from_each(these, starts, faces)
    counts = np.full(count, wanted.kept)
    if wanted.within is not None:
        near = np.bincount(rows[distances <= np.float32(wanted.within)], minlength=count)
        counts = np.maximum(counts, np.minimum(near, wanted.most))
    ends = np.concatenate([[0], np.cumsum(counts)])
    sorted_keys = np.empty(ends[-1], np.uint64)
    # The bits of distances are in their order.
    keys = distances.view(np.uint32).astype(np.uint64) << np.uint64(32) | faces.astype(np.uint64)
    for some, rectangle in rectangles(keys, starts, np.uint64(2**64 - 1)):
        rectangle.sort(axis=1)
        place = np.arange(rectangle.shape[1])
        chosen = place < counts[some][:, None]
        sorted_keys[(ends[some][:, None] + place)[chosen]] = rectangle[chosen]
    nearest_distances = (sorted_keys >> np.uint64(32)).astype(np.uint32).view(np.float32)
    return Neighbors(ends, sorted_keys.astype(np.uint32).view(np.int32), nearest_distances)


def concatenated(parts: Sequence[Neighbors], faces: int) -> Neighbors:
    """The rows of this many faces, which come in parts."""
    starts = np.zeros(faces + 1, np.int64)
    if parts:
        np.cumsum(np.concatenate([np.diff(part.starts) for part in parts]), out=starts[1:])
    ids = np.concatenate([_NOTHING[0], *(part.faces for part in parts)])
    return Neighbors(starts, ids, np.concatenate([_NOTHING[1], *(part.distances for part in parts)]))
