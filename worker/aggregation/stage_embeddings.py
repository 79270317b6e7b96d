"""The embeddings that the tiles of a second stage read. Those of another attempt at the stage have other names: an
aggregator that wakes up after another one has taken over changes nothing that is read.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from shared.analysis.copies import Copies, find_copies
from shared.analysis.principal_subspace import MOST_LOST, principal_basis, project
from shared.domain.arrays import Float32
from shared.domain.durable_files import sync_to_disk
from shared.domain.errors import ResultsError
from shared.domain.job import Job
from shared.results.files import map_array
from worker.aggregation.reserved_array import new_array

_KINDS = _ALL, _DISTINCT, _PROJECTED = "embeddings", "distinct", "projected"
_ROWS = 4096


class StageEmbeddings:
    """The files of one attempt, in the stage's folder."""

    def __init__(self, folder: Path, stage: str) -> None:
        """`stage` is the attempt's random name."""
        self._folder = folder
        self._all, self._distinct, self._projected = (folder / f"{kind}-{stage}.npy" for kind in _KINDS)

    def write(self, job: Job, portions: Iterable[Float32]) -> Copies:
        """Writes the embeddings of all faces, which come in portions, and those that are distinct, if any are copies.

        ResultsError if there are not as many as the job has faces; OSError as from the disk.
        """
        embeddings = new_array(self._all, (job.faces, job.contract.dimensions))
        faces = 0
        for portion in portions:
            if faces + len(portion) <= job.faces:
                embeddings[faces : faces + len(portion)] = portion
            faces += len(portion)
        if faces != job.faces:
            raise ResultsError(
                f"Job '{job.name}' counts {job.faces} faces, and its blocks have {faces}. Cancel it and run it again."
            )
        _flush(embeddings, self._all)
        copies = find_copies(embeddings)
        if len(copies.first) < faces:
            distinct = new_array(self._distinct, (len(copies.first), job.contract.dimensions))
            for first in range(0, len(distinct), _ROWS):
                distinct[first : first + _ROWS] = embeddings[copies.first[first : first + _ROWS]]
            _flush(distinct, self._distinct)
        return copies

    def write_projections(self) -> float | None:
        """Writes the projections of the distinct embeddings to few dimensions, and gives what their squared distances
        lose at most; None if they need too many. OSError as from the disk.
        """
        embeddings = self.distinct
        basis = principal_basis(embeddings)
        if basis is None:
            return None
        projected = new_array(self._projected, (len(embeddings), basis.shape[1]))
        lost = project(embeddings, basis, projected)
        if lost > MOST_LOST:
            self._projected.unlink()
            return None
        _flush(projected, self._projected)
        return lost

    @property
    def all(self) -> Float32:
        """Those of all faces, mapped."""
        return map_array(self._all)

    @property
    def distinct(self) -> Float32:
        """Each embedding once, mapped."""
        return map_array(self._distinct if self._distinct.exists() else self._all)

    @property
    def projected(self) -> Float32:
        """The projections, mapped."""
        return map_array(self._projected)

    def keep_distinct_alone(self) -> None:
        """Removes what only a matrix needs."""
        if self._distinct.exists():
            self._all.unlink()

    def remove(self) -> None:
        """Removes these files."""
        for path in (self._all, self._distinct, self._projected):
            path.unlink(missing_ok=True)

    def remove_others(self) -> None:
        """Removes those of earlier attempts."""
        mine = {self._all, self._distinct, self._projected}
        for path in {path for kind in _KINDS for path in self._folder.glob(f"{kind}*.npy")} - mine:
            path.unlink(missing_ok=True)


def _flush(array: Float32, path: Path) -> None:
    if isinstance(array, np.memmap):
        array.flush()
    sync_to_disk(path)


def digest_of(embeddings: Float32, chosen: Iterable[int] | None = None) -> str:
    """BLAKE2b of embeddings [n, d], or of those `chosen`, in this order."""
    found = hashlib.blake2b(digest_size=16)
    rows = np.arange(len(embeddings)) if chosen is None else np.asarray(chosen)
    for first in range(0, len(rows), _ROWS):
        found.update(np.ascontiguousarray(embeddings[rows[first : first + _ROWS]], np.float32).tobytes())
    return found.hexdigest()
