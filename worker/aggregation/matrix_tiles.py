"""The distance matrix of a second stage: a file of its final size, which several processes fill tile by tile.

A tile that is done has a mark beside the file, written after its distances are on the disk.
"""

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import combinations_with_replacement, product
from pathlib import Path

import numpy as np

from shared.domain.arrays import Float32
from shared.domain.durable_files import replace_content, sync_to_disk
from shared.results.distance_tiles import TILE_ROWS, euclidean_tile, one_blas_thread
from shared.results.files import map_array, read_json
from worker.aggregation.distance_matrix import for_all
from worker.aggregation.reserved_array import new_array
from worker.aggregation.stage_plan import MatrixPlan

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class MatrixTiles:
    """The matrix of one plan."""

    def __init__(self, folder: Path, plan: MatrixPlan) -> None:
        self._folder, self.plan = folder, plan
        # A process with an older plan that wakes up late writes into another file.
        name = hashlib.blake2b(json.dumps(plan.about(0)).encode(), digest_size=16).hexdigest()
        self._path = folder / f"matrix-{name}.npy"

    @property
    def exists(self) -> bool:
        """Whether the file is there, with its final size."""
        try:
            found = map_array(self._path)
        except (OSError, ValueError):
            return False
        return found.shape == (self.plan.faces, self.plan.faces) and found.dtype == np.float32

    def create(self) -> None:
        """Creates the file, unless it is there, and removes those of other plans. OSError if the disk has no room."""
        for path in self._folder.glob("matrix-*.npy"):
            if path != self._path:
                path.unlink()
        if self.exists:
            return
        for mark in self._folder.glob("matrix-*.done"):
            mark.unlink()
        for left in self._folder.glob("matrix-*.making"):
            left.unlink(missing_ok=True)
        making = self._path.with_suffix(f".{secrets.token_hex(8)}.making")
        try:
            new_array(making, (self.plan.faces, self.plan.faces))
            # Not over a file that another aggregator, which has taken over meanwhile, has created and filled.
            if not self.exists:
                with suppress(FileExistsError):
                    _link(making, self._path)
        finally:
            making.unlink(missing_ok=True)
        sync_to_disk(self._folder)

    def has(self, tile: int) -> bool:
        """Whether the distances of a tile are in the file."""
        try:
            return bool(read_json(self._mark(tile)) == self.plan.about(tile))
        except (OSError, ValueError):
            return False

    def compute(self, tile: int, embeddings: Float32, threads: int) -> None:
        """Writes the distances of a tile, above the diagonal and below it. OSError as from the disk.

        `embeddings` has those of all faces [n, d]; it may be mapped from a file.
        """
        # Each process writes exactly its own bytes: on a network file system, a mapped page would go back to the server
        # as a whole, over what another machine has written beside them.
        file = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
                for_all(pool, partial(self._fill, file, embeddings), self._parts(tile), 2 * threads)
            os.fsync(file)
        finally:
            os.close(file)
        replace_content(self._mark(tile), json.dumps(self.plan.about(tile)).encode())

    def _parts(self, tile: int) -> Iterator[tuple[range, range]]:
        """The rows and columns of a tile, some at a time."""
        a, b = (_portions(self.plan.blocks[side]) for side in self.plan.tiles[tile])
        return combinations_with_replacement(a, 2) if a == b else product(a, b)

    def _fill(self, file: int, embeddings: Float32, part: tuple[range, range]) -> None:
        rows, cols = part
        found = euclidean_tile(embeddings[rows.start : rows.stop], embeddings[cols.start : cols.stop])
        if rows == cols:
            np.fill_diagonal(found, 0.0)
        else:
            self._write(file, cols, rows, np.ascontiguousarray(found.T))
        self._write(file, rows, cols, found)

    def _write(self, file: int, rows: range, cols: range, found: Float32) -> None:
        begin = os.fstat(file).st_size - 4 * self.plan.faces**2  # behind the header
        for row, distances in zip(rows, found, strict=True):
            content, place = memoryview(distances).cast("B"), begin + 4 * (self.plan.faces * row + cols.start)
            while content:
                written = os.pwrite(file, content, place)
                content, place = content[written:], place + written

    def put(self, target: Path) -> None:
        """Gives the file the name `target` in another folder. OSError as from the disk."""
        _link(self._path, target)  # it stays here too, for whoever must go on after this process

    def _mark(self, tile: int) -> Path:
        return self._folder / f"matrix-{tile}.done"


def _link(path: Path, target: Path) -> None:
    """Gives the file a second name; FileExistsError if that is taken. Renames it where the file system has no links."""
    try:
        os.link(path, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        path.rename(target)


def _portions(block: range) -> list[range]:
    return [range(first, min(block.stop, first + TILE_ROWS)) for first in range(block.start, block.stop, TILE_ROWS)]
