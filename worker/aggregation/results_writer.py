"""A job's results folder: written beside, fsynced, and renamed into place, whole or not at all."""

import csv
import json
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from shared.domain.errors import ResultsError
from shared.domain.paths import RootPath, printable
from shared.results.failed_list import write_failed_list
from shared.results.files import sync_to_disk
from shared.store.jobs import Job
from worker.aggregation.array_file import new_array
from worker.aggregation.matrix_file import plan_matrix, write_matrix
from worker.aggregation.publish import check_replaceable, clean_up, publish
from worker.aggregation.rows import (
    DIGEST_COLUMNS,
    FACE_COLUMNS,
    IMAGE_COLUMNS,
    Row,
    carry_over,
    carry_over_profiles,
    earlier_samples,
    merged_rows,
    rows_of_blocks,
)
from worker.aggregation.statistics import Tally, utc
from worker.batch_result import DIMENSIONS
from worker.execution.profiling import copy_profiles
from worker.supervision.sample_log import SAMPLE_COLUMNS

Samples = Mapping[str, Iterable[dict[str, str]]]
"""By worker, in order."""


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
) -> Written:
    """Writes `results_dir/<job>/`.

    `retried` are the images that the blocks hold where failed ones were tried again (path by index): the rest is taken from
    the folder that is there. `may_publish` is asked last, just before the folder takes its name. ResultsError says what stood in the way; nothing
    is left behind then.
    """
    # Process ids repeat from container to container.
    scratch = results_dir / f".{job.name}.{job.uid[:8]}-{uuid.uuid4().hex[:12]}.making"
    with _explain(results_dir):
        results_dir.mkdir(parents=True, exist_ok=True)
        clean_up(job.name, results_dir)
        check_replaceable(job, results_dir / job.name)
        plan = plan_matrix(job, results_dir, distances_max_bytes)
        scratch.mkdir()
    try:
        with _explain(results_dir):
            tally = _write_tables(job, _rows(job, blocks, retried, results_dir), scratch)
            write_failed_list(scratch, job, tally.failed, results_dir / job.name)
            phases = {"distances_started": _now()}
            matrix_absent = write_matrix(plan, job, scratch, results_dir, threads)
            phases["distances_ended"] = _now()
            _write_resources(
                resources(), scratch / "resources", earlier_samples(results_dir / job.name) if retried else {}
            )
            copy_profiles(profiles, scratch / "profile")
            if retried:
                carry_over_profiles(results_dir / job.name, scratch / "profile")
            summary = _summarise(job, tally, matrix_absent, phases)
            if retried:
                summary = carry_over(results_dir / job.name, summary)
            (scratch / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
            _sync_tree(scratch)
            if not may_publish():
                raise ResultsError(f"Another aggregator has taken over job '{job.name}'; this copy was thrown away.")
            publish(job, scratch, results_dir / job.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Written(summary, tally.failed)


@contextmanager
def _explain(results_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResultsError(
            f"The results folder {printable(str(results_dir))} cannot be written: {error.strerror or error}. Nothing is "
            "lost: the same job writes them when that is mended."
        ) from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _rows(job: Job, blocks: Iterable[bytes], retried: dict[int, RootPath], results_dir: Path) -> Iterator[Row]:
    fresh = rows_of_blocks(blocks, job.options.folder)
    return merged_rows(results_dir / job.name, retried, fresh) if retried else fresh


def _write_tables(job: Job, rows: Iterable[Row], scratch: Path) -> Tally:
    tally = Tally()
    first_of: dict[str, str] = {}
    embeddings = new_array(scratch / "embeddings.npy", (job.faces, DIMENSIONS))
    with (
        _table(scratch / "images.csv", IMAGE_COLUMNS) as images,
        _table(scratch / "faces.csv", FACE_COLUMNS) as faces,
        _table(scratch / "digests.csv", DIGEST_COLUMNS) as digests,
    ):
        for row in rows:
            same_as = first_of.setdefault(row.digest, row.shown) if row.digest else row.shown
            images.writerow([
                tally.images, row.shown, row.outcome, row.error, len(row.boxes), "" if same_as == row.shown else same_as,
                *row.figures,
            ])  # fmt: skip
            digests.writerow([tally.images, row.digest])
            if tally.faces + len(row.boxes) <= job.faces:
                embeddings[tally.faces : tally.faces + len(row.boxes)] = row.embeddings
            for box in row.boxes:
                faces.writerow([tally.faces, tally.images, row.shown, *box])
                tally.faces += 1
            tally.add(row)
    if tally.faces != job.faces or tally.images != job.images:
        raise ResultsError(
            f"Job '{job.name}' counts {job.images} images and {job.faces} faces, its blocks {tally.images} and "
            f"{tally.faces}. Cancel it and run it again."
        )
    if isinstance(embeddings, np.memmap):
        embeddings.flush()
    return tally


@contextmanager
def _table(path: Path, columns: tuple[str, ...]) -> Iterator[Any]:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        yield writer


def _write_resources(resources: Samples, folder: Path, earlier: Samples) -> None:
    """A file for each worker that has samples; those of `earlier` times come first, since a worker outlives many jobs."""
    folder.mkdir()
    for worker in sorted({*resources, *earlier}):
        fresh = iter(resources.get(worker, ()))
        first = next(fresh, None)
        begins = first["time"] if first else "~"  # after every time
        before = (sample for sample in earlier.get(worker, ()) if (sample.get("time") or "~") < begins)
        samples = chain(before, [first] if first else [], fresh)
        one = next(samples, None)
        if one is not None:
            with (folder / f"{worker.replace('/', '-')}.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, SAMPLE_COLUMNS, extrasaction="ignore", lineterminator="\n")
                writer.writeheader()
                writer.writerow(one)
                writer.writerows(samples)


def _summarise(job: Job, tally: Tally, matrix_absent: str | None, phases: dict[str, str]) -> dict[str, Any]:
    ended_ms = job.committed_ms or job.created_ms
    elapsed_s = (ended_ms - (job.started_ms or job.created_ms)) / 1000
    return {
        "job": job.name,
        "source": printable(job.source),
        "origin": job.origin,
        "images": tally.images,
        "faces": tally.faces,
        "outcomes": tally.outcomes,
        "recalled": tally.recalled,
        "images_per_s": round(tally.images / elapsed_s, 2) if elapsed_s > 0 else None,
        "seconds": {stage: round(spent, 3) for stage, spent in tally.stage_s.items()},
        "workers": {worker: figures.as_dict() for worker, figures in tally.workers.items()},
        "distances": {"written": matrix_absent is None, "reason": matrix_absent},
        "contract": job.contract.as_dict() | (job.runtime or {}),
        "versions": {package: _version(package) for package in ("facequeue", "celery", "numpy", "facenet-pytorch")},
        "created": utc(job.created_ms),
        "started": utc(job.started_ms),
        "ended": utc(ended_ms),
        "phases": phases,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        sync_to_disk(path)
