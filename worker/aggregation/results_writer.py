"""Writes a job's results folder: first a scratch folder, synced to the disk, which is then renamed in one step."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.domain.durable_files import sync_to_disk
from shared.domain.errors import ResultsError
from shared.domain.job import Job
from shared.domain.paths import RootPath, printable
from shared.domain.quality_limits import DEFAULT_LIMITS
from shared.results.distance_tiles import arithmetic
from shared.results.failed_list import write_failed_list
from shared.results.left_out import find_left_out
from shared.results.schema import SUMMARY
from worker.aggregation.hidden_names import new_scratch_name
from worker.aggregation.known_neighbors import takes_earlier_rows
from worker.aggregation.matrix_plan import plan_matrix, write_matrix
from worker.aggregation.neighbor_files import write_neighbors
from worker.aggregation.pair_stage import PairStage
from worker.aggregation.profile_files import copy_profiles
from worker.aggregation.publish import clean_up, publish
from worker.aggregation.retry_merge import merged_rows, merged_summary
from worker.aggregation.rows import Row, rows_of_blocks
from worker.aggregation.sample_files import Samples, earlier_samples, write_samples
from worker.aggregation.summary import summarize
from worker.aggregation.table_writer import write_tables
from worker.aggregation.update_merge import updated_rows


@dataclass(frozen=True)
class Written:
    """What was written."""

    summary: dict[str, Any]
    failed: dict[int, RootPath]
    """The images that failed: path by index."""


def write_results(
    job: Job,
    blocks: Iterable[bytes],
    retried: dict[int, RootPath],
    results_dir: Path,
    *,
    resources: Callable[[], Samples],
    profiles: Path | None = None,
    threads: int,
    distances_max_bytes: float,
    may_publish: Callable[[], bool],
    stage: PairStage | None = None,
) -> Written:
    """Writes `results_dir/<job>/`.

    If failed images were retried, the blocks hold only the images `retried` (path by index). All others are taken from
    the earlier results, as are the known images of an update. `stage` has what the tiles of a second stage made.
    `may_publish` is called last, just before the rename.
    ResultsError says what went wrong; nothing is left behind then.
    """
    target = results_dir / job.name
    earlier = target if retried else None
    with os_errors_explained(results_dir):
        results_dir.mkdir(parents=True, exist_ok=True)
        clean_up(job, results_dir)
        plan = plan_matrix(job, results_dir, distances_max_bytes, None if stage is None else stage.matrix)
        with _scratch_folder(job, results_dir) as scratch:
            statistics = write_tables(job, job_rows(job, blocks, retried, target), scratch)
            write_failed_list(scratch, job, statistics.failed, target)
            phases = {"distances_started": _now()}
            matrix_absent = write_matrix(plan, job, scratch, results_dir, threads, statistics.earlier_faces)
            phases["distances_ended"] = phases["neighbors_started"] = _now()
            left_out = find_left_out(scratch, job.faces, DEFAULT_LIMITS)
            write_neighbors(job, scratch, threads, stage, target if takes_earlier_rows(job) else None, left_out)
            phases["neighbors_ended"] = _now()
            write_samples(resources(), scratch, {} if earlier is None else earlier_samples(earlier))
            copy_profiles(profiles, scratch, earlier)
            made_with = arithmetic() if plan.made is None else plan.made.plan.arithmetic
            summary = summarize(job, statistics, matrix_absent, made_with, phases)
            if earlier is not None:
                summary = merged_summary(earlier, summary)
            (scratch / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n")
            _sync_tree(scratch)
            if not may_publish():
                raise ResultsError(f"Another aggregator has taken over job '{job.name}'; this copy was discarded.")
            publish(job, scratch, target)
    return Written(summary, statistics.failed)


@contextmanager
def os_errors_explained(results_dir: Path) -> Iterator[None]:
    """Raises ResultsError for an OSError: it says what went wrong, and that the results folder is concerned."""
    try:
        yield
    except OSError as error:
        where = f"{printable(str(error.filename))}: " if error.filename else ""
        raise ResultsError(
            f"The results folder {printable(str(results_dir))} cannot be written: {where}{error.strerror or error}. "
            "Nothing is lost: the same job writes them once that is solved."
        ) from None


@contextmanager
def _scratch_folder(job: Job, results_dir: Path) -> Iterator[Path]:
    scratch = results_dir / new_scratch_name(job)
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def job_rows(job: Job, blocks: Iterable[bytes], retried: dict[int, RootPath], target: Path) -> Iterator[Row]:
    """The images of a job in order. `target` has the earlier results, for a retry or an update."""
    if job.options.update and not job.retries:
        return updated_rows(blocks, job, target)
    fresh = rows_of_blocks(blocks, job.options.folder, job.contract.dimensions)
    return merged_rows(target, job.options.folder, job.contract.dimensions, retried, fresh) if retried else fresh


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        sync_to_disk(path)
