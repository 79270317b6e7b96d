"""Decides whether a results folder gets a new distance matrix or keeps the earlier one, and writes it."""

import filecmp
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.domain.errors import ResultsError
from shared.domain.job import Job
from shared.domain.paths import printable
from shared.results.distance_tiles import arithmetic
from shared.results.files import map_array, read_json
from shared.results.schema import DISTANCES, EMBEDDINGS, SUMMARY
from worker.aggregation.distance_matrix import KnownDistances, write_distances
from worker.aggregation.faces_parquet import bytes_a_face
from worker.aggregation.matrix_tiles import MatrixTiles
from worker.aggregation.reserved_array import NO_ROOM, new_array
from worker.aggregation.stage_embeddings import digest_of

_SPARE_BYTES = 16 * 2**20  # for tables, summary and resource logs, in addition to the arrays
_BYTES_A_NEIGHBOR = 16  # in neighbors.npz and, while that is written, beside it
_BYTES_AN_IMAGE = 440  # in images.csv and faces.csv


@dataclass(frozen=True)
class Plan:
    """The decision about the matrix."""

    absent: str | None = None
    """Why no matrix is written."""
    keeps: bool = False
    """Whether the earlier matrix is kept because there is no room for a second one."""
    made: MatrixTiles | None = None
    """The matrix, if the tiles of a second stage made it."""

    @property
    def writes(self) -> bool:
        """Whether a matrix is to be computed."""
        return self.absent is None and not self.keeps and self.made is None


def plan_matrix(
    job: Job, results_dir: Path, max_bytes: float, made: MatrixTiles | None = None, *, there: int = 0
) -> Plan:
    """What `--distances` means with this disk space. ResultsError if even the rest of the results has no room.

    `there` are bytes that an earlier attempt has taken, which this one frees or uses.
    """
    rest = results_bytes(job)
    matrix = job.faces**2 * 4
    free = shutil.disk_usage(results_dir).free + there
    wanted = job.options.distances
    plan = Plan(made=made)
    if made is not None:
        matrix = 0  # it has its room
    elif wanted == "none":
        plan = Plan(absent="not asked for (--distances none)")
    elif wanted == "auto" and matrix > max_bytes:
        plan = Plan(absent=f"it would take {_gib(matrix)}, the limit for --distances auto is {_gib(max_bytes)}")
    elif wanted == "auto" and rest + matrix > free:
        plan = _without_room(job, results_dir, free)
    needed = rest if plan.absent or plan.keeps else rest + matrix
    if needed > free:
        raise ResultsError(
            f"The results of job '{job.name}' take {_gib(needed)}, and only {_gib(free)} are free in "
            f"{printable(str(results_dir))}. Make room."
        )
    return plan


def results_bytes(job: Job) -> int:
    """About what the results take without the matrix."""
    dimensions = job.contract.dimensions
    a_face = dimensions * 4 + bytes_a_face(dimensions) + job.options.neighbors * _BYTES_A_NEIGHBOR
    return job.faces * a_face + job.images * _BYTES_AN_IMAGE + _SPARE_BYTES


def write_matrix(
    plan: Plan, job: Job, scratch: Path, results_dir: Path, threads: int, earlier_faces: Sequence[int] = ()
) -> str | None:
    """Writes `scratch/distances.npy`, or keeps the earlier one. Returns why there is no matrix; None if there is one.

    `earlier_faces` has the row of each face in the earlier results, or -1: distances between those are copied.
    ResultsError if an earlier matrix would be lost; OSError as from the disk.
    """
    if plan.made is not None:
        _check_faces(job, scratch, plan.made)
        plan.made.put(scratch / DISTANCES)
    if plan.writes:
        try:
            out = new_array(scratch / DISTANCES, (job.faces, job.faces))
        except OSError as error:
            # The disk became full after the decision.
            if job.options.distances != "auto" or error.errno not in NO_ROOM:
                raise
            (scratch / DISTANCES).unlink(missing_ok=True)
            plan = _without_room(job, results_dir, shutil.disk_usage(results_dir).free)
        else:
            if job.faces:
                known = known_distances(results_dir / job.name, earlier_faces)
                write_distances(map_array(scratch / EMBEDDINGS), out, threads, known)
            if isinstance(out, np.memmap):
                out.flush()
    if plan.keeps:
        _take_over(job, scratch, results_dir / job.name)
    return plan.absent


def _check_faces(job: Job, scratch: Path, made: MatrixTiles) -> None:
    if digest_of(map_array(scratch / EMBEDDINGS)) != made.plan.digest:
        raise ResultsError(
            f"The faces of job '{job.name}' changed while they were compared. Cancel the job and run it again."
        )


def known_distances(earlier: Path, rows: Sequence[int]) -> KnownDistances | None:
    """The earlier matrix, if its distances have the bits that they would have now."""
    places = np.array(rows, np.intp)
    if not (places >= 0).any():
        return None
    try:
        same = read_json(earlier / SUMMARY)["distances"]["arithmetic"] == arithmetic()
        matrix = map_array(earlier / DISTANCES) if same else np.empty((0, 0), np.float32)
    except (OSError, ValueError, LookupError, TypeError):
        return None
    whole = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] > places.max() and matrix.dtype == np.float32
    return KnownDistances(matrix, places) if whole else None


def _without_room(job: Job, results_dir: Path, free: int) -> Plan:
    if (results_dir / job.name / DISTANCES).exists():
        return Plan(keeps=True)
    return Plan(absent=f"it would take {_gib(job.faces**2 * 4)}, and {_gib(free)} are free in {results_dir}")


def _take_over(job: Job, scratch: Path, earlier: Path) -> None:
    """Links the earlier matrix if it has the same embeddings: its bytes would be the same."""
    try:
        same = filecmp.cmp(scratch / EMBEDDINGS, earlier / EMBEDDINGS, shallow=False)
        if same and map_array(earlier / DISTANCES).shape == (job.faces, job.faces):
            os.link(earlier / DISTANCES, scratch / DISTANCES)
            return
    except (OSError, ValueError):  # damaged, or a file system without links
        pass
    raise ResultsError(
        f"There is no room for the distances of job '{job.name}' ({_gib(job.faces**2 * 4)}) beside the earlier results "
        f"in {printable(str(earlier))}, whose {DISTANCES} is of other faces. They were left as they are. Make room, or "
        f"remove that {DISTANCES} to go on without distances."
    )


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"
