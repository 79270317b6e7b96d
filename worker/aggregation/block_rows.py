"""Chooses the blocks of a search for neighbors so that the candidates of a tile stay in memory.

A face has as many candidates in a tile as neighbors are wanted, and more if more faces of the tile are within the
threshold: of a crowd of photos of one person, a thousand. How many there are is estimated from a sample.
"""

import numpy as np
import numpy.typing as npt

from shared.analysis.candidates import Wanted
from shared.domain.arrays import Float32

_SAMPLE = 4096
_ROWS_AT_ONCE = 512
_MOST_ROWS, _LEAST_ROWS = 50_000, 1024
_MOST_BYTES = 640 * 2**20
"""For the candidates of a tile in memory."""
_BYTES_A_CANDIDATE = 96
"""At most, as `tracemalloc` measures it: candidates are joined with new ones, and sorted."""

Counts = npt.NDArray[np.float64]


class CandidateEstimate:
    """The numbers of candidates in the tiles of a search among embeddings [n, d], in the order that they have."""

    def __init__(self, embeddings: Float32, wanted: Wanted) -> None:
        """`embeddings` may be mapped from a file. Memory: 16 MiB, and the sample."""
        self._faces, self._wanted = len(embeddings), wanted
        step = max(1, -(-self._faces // _SAMPLE))
        self._places = np.arange(0, self._faces, step)
        sample = np.ascontiguousarray(embeddings[::step])
        halves = np.einsum("nd,nd->n", sample, sample) / 2
        self._near = np.zeros((len(sample), len(sample)), bool)
        if wanted.within is not None:
            limit = np.float32(-(wanted.within**2) / 2)
            for first in range(0, len(sample), _ROWS_AT_ONCE):
                some = slice(first, first + _ROWS_AT_ONCE)
                closeness = sample[some] @ sample.T - halves[some, None] - halves
                self._near[some] = closeness >= limit
            np.fill_diagonal(self._near, False)

    def in_tiles(self, rows: int) -> Counts:
        """[blocks, blocks]: the candidates of all faces of one block among those of the other, for blocks of so many
        rows.
        """
        firsts = np.arange(0, self._faces, rows)
        lengths = np.diff(firsts, append=self._faces)
        # A small block may have no face of the sample: then the next one stands for it.
        begins = np.minimum(np.searchsorted(self._places, firsts), len(self._places) - 1)
        sizes = np.diff(begins, append=len(self._places)).clip(1)
        near = np.add.reduceat(self._near, begins, axis=1, dtype=np.float64) / sizes * lengths
        kept = np.minimum(np.maximum(near, self._wanted.kept), np.minimum(self._wanted.most, lengths))
        found: Counts = np.add.reduceat(kept, begins, axis=0) / sizes[:, None] * lengths[:, None]
        return found


def choose_block_rows(estimate: CandidateEstimate) -> int:
    """The largest number of rows of a block with which each tile's candidates are expected to fit."""
    rows = _MOST_ROWS
    while rows >= 2 * _LEAST_ROWS:
        candidates = estimate.in_tiles(rows)
        both = candidates + np.triu(candidates, 1).T  # on the diagonal, both blocks are the same
        if both.max(initial=0) * _BYTES_A_CANDIDATE <= _MOST_BYTES:
            break
        rows //= 2
    return rows
