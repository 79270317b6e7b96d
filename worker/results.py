"""A job's results folder: written beside, fsynced, and renamed into place, whole or not at all."""

import csv
import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import ResultsError
from shared.failed_list import write_failed_list
from shared.job import Job
from shared.paths import printable
from worker.area import Float32
from worker.block import DIMENSIONS
from worker.distances import write_distances
from worker.profiling import copy_profiles
from worker.rows import (
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
from worker.sample_log import SAMPLE_COLUMNS
from worker.sync import sync_to_disk
from worker.tally import Tally, utc

_SPARE_BYTES = 16 * 2**20  # tables, summary and resource logs, beside the arrays
_BYTES_AN_IMAGE = 300  # of images.csv and faces.csv


@dataclass(frozen=True)
class Written:
    """What was written."""

    summary: dict[str, Any]
    failed: dict[int, str]
    """The images that failed: path (relative to the data root) by index."""


def write_results(
    job: Job,
    blocks: Iterable[bytes],
    retried: dict[int, str],
    results_dir: Path,
    *,
    resources: Callable[[], dict[str, list[dict[str, str]]]],
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
        _clean_up(job.name, results_dir)
        matrix_absent = _decide_on_matrix(job, results_dir, distances_max_bytes)
        scratch.mkdir()
    try:
        with _explain(results_dir):
            tally = _write_tables(job, _rows(job, blocks, retried, results_dir), scratch)
            write_failed_list(scratch, job, tally.failed, results_dir / job.name)
            phases = {"distances_started": _now()}
            if matrix_absent is None:
                _write_matrix(scratch, tally.faces, threads)
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
            _publish(scratch, results_dir / job.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Written(summary, tally.failed)


def _clean_up(name: str, results_dir: Path) -> None:
    """Removes what a killed aggregator of this job left, and puts an older folder back that it had set aside."""
    leftover = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}-[0-9a-f]+\.making")
    for path in results_dir.iterdir():
        if leftover.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)
    target, aside = results_dir / name, _aside(results_dir / name)
    if aside.is_dir() and not target.exists():
        aside.rename(target)
    shutil.rmtree(aside, ignore_errors=True)


def _aside(target: Path) -> Path:
    return target.parent / f".{target.name}.replaced"


@contextmanager
def _explain(results_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResultsError(
            f"The results folder {printable(str(results_dir))} cannot be written: {error.strerror or error}. Nothing is "
            "lost: mend that, then `python -m producer aggregate JOB`, or the same `run` again."
        ) from None


def _decide_on_matrix(job: Job, results_dir: Path, max_bytes: float) -> str | None:
    """None where the distance matrix is to be written, else why not; ResultsError where there is no room at all."""
    rest = job.faces * DIMENSIONS * 4 + job.images * _BYTES_AN_IMAGE + _SPARE_BYTES
    matrix = job.faces**2 * 4
    free = shutil.disk_usage(results_dir).free
    wanted = job.options.distances
    if wanted == "none":
        matrix, absent = 0, "not asked for (--distances none)"
    elif wanted == "auto" and matrix > max_bytes:
        matrix, absent = 0, f"it would take {_gib(matrix)}, the limit for --distances auto is {_gib(max_bytes)}"
    elif wanted == "auto" and rest + matrix > free:
        matrix, absent = 0, f"it would take {_gib(matrix)}, and {_gib(free)} are free in {results_dir}"
    else:
        absent = None
    if rest + matrix > free:
        raise ResultsError(
            f"The results of job '{job.name}' take {_gib(rest + matrix)}, and only {_gib(free)} are free in "
            f"{results_dir}. Make room, then `python -m producer aggregate {job.name}`, or the same `run` again."
        )
    return absent


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _rows(job: Job, blocks: Iterable[bytes], retried: dict[int, str], results_dir: Path) -> Iterator[Row]:
    fresh = rows_of_blocks(blocks, f"{job.options.folder}/" if job.options.folder else "")
    return merged_rows(results_dir / job.name, retried, fresh) if retried else fresh


def _write_tables(job: Job, rows: Iterable[Row], scratch: Path) -> Tally:
    tally = Tally()
    first_of: dict[str, str] = {}
    embeddings = _new_array(scratch / "embeddings.npy", (job.faces, DIMENSIONS))
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


def _new_array(path: Path, shape: tuple[int, int]) -> Float32:
    if 0 in shape:  # an empty file cannot be mapped
        np.save(path, np.empty(shape, np.float32))
        return np.empty(shape, np.float32)
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)


def _write_matrix(scratch: Path, faces: int, threads: int) -> None:
    out = _new_array(scratch / "distances.npy", (faces, faces))
    if faces:
        write_distances(np.load(scratch / "embeddings.npy", mmap_mode="r"), out, threads)
    if isinstance(out, np.memmap):
        out.flush()


def _write_resources(
    resources: dict[str, list[dict[str, str]]], folder: Path, earlier: dict[str, list[dict[str, str]]]
) -> None:
    """A file a worker; before its samples those of `earlier` times, since a worker outlives many jobs."""
    folder.mkdir()
    for worker in sorted({*resources, *earlier}):
        fresh = resources.get(worker, [])
        begins = min((sample["time"] for sample in fresh), default="~")  # after every time
        samples = [sample for sample in earlier.get(worker, []) if (sample.get("time") or "~") < begins] + fresh
        with (folder / f"{worker}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, SAMPLE_COLUMNS, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(samples)


def _summarise(job: Job, tally: Tally, matrix_absent: str | None, phases: dict[str, str]) -> dict[str, Any]:
    ended_ms = job.committed_ms or job.created_ms
    elapsed_s = (ended_ms - (job.started_ms or job.created_ms)) / 1000
    return {
        "job": job.name,
        "source": printable(job.source),
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


def _publish(scratch: Path, target: Path) -> None:
    aside = _aside(target)
    if not scratch.is_dir():
        raise ResultsError(f"The copy of {target.name} was removed while it was written: another aggregator is at it.")
    if target.exists():
        # Only a results folder is ever replaced: anything else under this name is somebody's own, photographs even.
        if not all((target / name).is_file() for name in ("embeddings.npy", "images.csv")):
            raise ResultsError(
                f"{target} is there already and is no results folder; it was left alone. Use another name."
            )
        target.rename(aside)
    try:
        scratch.rename(target)
    except OSError:
        # Another aggregator took this one for dead and removed its copy: what was there is the result then.
        if aside.is_dir() and not target.exists():
            aside.rename(target)
        raise
    sync_to_disk(target.parent)
    shutil.rmtree(aside, ignore_errors=True)
