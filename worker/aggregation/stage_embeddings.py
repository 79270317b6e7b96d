"""Writes the embeddings that the tiles of a second stage read."""

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

ALL, DISTINCT, PROJECTED = "embeddings.npy", "distinct.npy", "projected.npy"
_ROWS = 4096


def write_embeddings(job: Job, portions: Iterable[Float32], folder: Path) -> Copies:
    """Writes the embeddings of all faces, which come in portions, and those that are distinct, if any are copies.

    ResultsError if there are not as many as the job has faces; OSError as from the disk.
    """
    remove_embeddings(folder)
    embeddings = new_array(folder / ALL, (job.faces, job.contract.dimensions))
    faces = 0
    for portion in portions:
        if faces + len(portion) <= job.faces:
            embeddings[faces : faces + len(portion)] = portion
        faces += len(portion)
    if faces != job.faces:
        raise ResultsError(
            f"Job '{job.name}' counts {job.faces} faces, and its blocks have {faces}. Cancel it and run it again."
        )
    _flush(embeddings, folder / ALL)
    copies = find_copies(embeddings)
    if len(copies.first) < faces:
        distinct = new_array(folder / DISTINCT, (len(copies.first), job.contract.dimensions))
        for first in range(0, len(distinct), _ROWS):
            distinct[first : first + _ROWS] = embeddings[copies.first[first : first + _ROWS]]
        _flush(distinct, folder / DISTINCT)
    return copies


def write_projections(folder: Path) -> float | None:
    """Writes the projections of the distinct embeddings to few dimensions, and gives what their squared distances lose
    at most; None if they need too many. OSError as from the disk.
    """
    embeddings = distinct_embeddings(folder)
    basis = principal_basis(embeddings)
    if basis is None:
        return None
    projected = new_array(folder / PROJECTED, (len(embeddings), basis.shape[1]))
    lost = project(embeddings, basis, projected)
    if lost > MOST_LOST:
        (folder / PROJECTED).unlink()
        return None
    _flush(projected, folder / PROJECTED)
    return lost


def _flush(array: Float32, path: Path) -> None:
    if isinstance(array, np.memmap):
        array.flush()
    sync_to_disk(path)


def remove_embeddings(folder: Path) -> None:
    """Removes what this module writes."""
    for name in (ALL, DISTINCT, PROJECTED):
        (folder / name).unlink(missing_ok=True)


def keep_distinct_alone(folder: Path) -> None:
    """Removes what only a matrix needs."""
    if (folder / DISTINCT).exists():
        (folder / ALL).unlink()


def all_embeddings(folder: Path) -> Float32:
    """Those of all faces, mapped."""
    return map_array(folder / ALL)


def distinct_embeddings(folder: Path) -> Float32:
    """Each embedding once, mapped."""
    return map_array(folder / DISTINCT if (folder / DISTINCT).exists() else folder / ALL)


def projected_embeddings(folder: Path) -> Float32:
    """The projections, mapped."""
    return map_array(folder / PROJECTED)


def digest_of(embeddings: Float32, chosen: Iterable[int] | None = None) -> str:
    """BLAKE2b of embeddings [n, d], or of those `chosen`, in this order."""
    found = hashlib.blake2b(digest_size=16)
    rows = np.arange(len(embeddings)) if chosen is None else np.asarray(chosen)
    for first in range(0, len(rows), _ROWS):
        found.update(np.ascontiguousarray(embeddings[rows[first : first + _ROWS]], np.float32).tobytes())
    return found.hexdigest()
