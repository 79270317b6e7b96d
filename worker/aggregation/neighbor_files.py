"""Writes the nearest neighbors of all faces, and their groups, into a results folder."""

import csv
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from shared.analysis.calibration import same_person_threshold
from shared.analysis.copies import Copies, distinct_rows, find_copies
from shared.analysis.face_neighbors import rows_of_faces
from shared.analysis.grouping import Grouping, group_distinct
from shared.analysis.near_pairs import merged, near_neighbors
from shared.domain.errors import ResultsError
from shared.domain.job import Job
from shared.results.files import map_array
from shared.results.left_out import LeftOut, no_limits
from shared.results.neighbors_file import Neighbors, NeighborsWriter, read_neighbors
from shared.results.schema import EMBEDDINGS, GROUP_COLUMNS, GROUPS, NEIGHBORS
from worker.aggregation.known_neighbors import neighbor_update
from worker.aggregation.pair_stage import PairStage
from worker.aggregation.stage_embeddings import digest_of
from worker.aggregation.stage_plan import PairsPlan

_DISTINCT = ".distinct.npz"


def write_neighbors(
    job: Job,
    folder: Path,
    threads: int,
    stage: PairStage | None = None,
    earlier: Path | None = None,
    left_out: LeftOut | None = None,
) -> None:
    """Writes neighbors.npz and groups.csv, unless the job is to have none. `stage` has the candidates of all tiles; by
    default the whole pair matrix is screened here, or what differs from the results in `earlier`. OSError as from the
    disk.

    Without a calibrated threshold there are the nearest alone, and no groups. Faces that are `left_out` (default: none)
    are in no group.
    """
    if job.options.neighbors == 0:
        return
    embeddings = map_array(folder / EMBEDDINGS)
    copies, threshold = find_copies(embeddings), same_person_threshold(job.contract.as_dict())
    if stage is None or stage.plan.pairs is None:
        distinct = distinct_rows(embeddings, copies)
        update = None if earlier is None else neighbor_update(job, distinct, earlier)
        if update is not None:
            found = _by_way_of_a_file(folder, update.rows(threads), len(distinct))
        else:
            found = near_neighbors(distinct, job.options.neighbors, threads, within=threshold)
    else:
        found = _merged(job, folder, stage, stage.plan.pairs, copies, threads)
    with NeighborsWriter(folder / NEIGHBORS, job.faces) as file:
        for rows in rows_of_faces(found, copies):
            file.add(rows)
    if threshold is not None:
        left_out = no_limits(job.faces) if left_out is None else left_out
        _write_groups(folder, group_distinct(embeddings, found, copies, threshold, left_out.faces), left_out)
    (folder / _DISTINCT).unlink(missing_ok=True)


def _merged(job: Job, folder: Path, stage: PairStage, plan: PairsPlan, copies: Copies, threads: int) -> Neighbors:
    """The neighbors of the distinct embeddings."""
    if digest_of(map_array(folder / EMBEDDINGS), copies.first) != plan.digest:
        raise ResultsError(
            f"The faces of job '{job.name}' changed while they were compared. Cancel the job and run it again."
        )
    rows = merged(stage.embeddings, plan.blocks, partial(stage.candidates_of, plan), plan.wanted, threads)
    return _by_way_of_a_file(folder, rows, plan.faces)


def _by_way_of_a_file(folder: Path, rows: Iterable[Neighbors], faces: int) -> Neighbors:
    """The rows of all distinct embeddings, mapped from a file of their own."""
    with NeighborsWriter(folder / _DISTINCT, faces) as file:
        for some in rows:
            file.add(some)
    return read_neighbors(folder / _DISTINCT, faces)


def _write_groups(folder: Path, grouping: Grouping, left_out: LeftOut) -> None:
    with (folder / GROUPS).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(GROUP_COLUMNS)
        rows = zip(grouping.numbers.tolist(), grouping.distances.tolist(), strict=True)
        writer.writerows(
            (face, group, f"{distance:.6f}", left_out.reasons(face)) for face, (group, distance) in enumerate(rows)
        )
