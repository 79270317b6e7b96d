"""Publishes a finished scratch folder as the results folder: atomically, and never over another job's results."""

import shutil
from pathlib import Path

from shared.domain.durable_files import sync_to_disk
from shared.domain.errors import ResultsError
from shared.domain.job import Job
from shared.results.owner import why_not_replaced
from worker.aggregation.hidden_names import aside_path, scratch_of


def clean_up(name: str, results_dir: Path) -> None:
    """Removes the leftovers of a killed aggregator of this job, and restores the folder that it had moved aside."""
    for path in results_dir.iterdir():
        leftover = scratch_of(path.name)
        if leftover is not None and leftover.job == name:
            shutil.rmtree(path, ignore_errors=True)
    target, aside = results_dir / name, aside_path(results_dir / name)
    if aside.is_dir() and not target.exists():
        aside.rename(target)
    _remove(aside)


def check_replaceable(job: Job, target: Path) -> None:
    """ResultsError if this job must not replace `target`."""
    reason = why_not_replaced(target, job.origin, job.source)
    if reason is not None:
        raise ResultsError(
            f"{reason}; it was left alone, and nothing of job '{job.name}' is lost. Move that folder away, or cancel "
            "the job and use another name."
        )


def publish(job: Job, scratch: Path, target: Path) -> None:
    """Renames `scratch` to `target` and removes the earlier results. ResultsError if they are another job's."""
    aside = aside_path(target)
    if not scratch.is_dir():
        raise ResultsError(
            f"The copy of {target.name} was removed while it was written: another aggregator has taken over."
        )
    check_replaceable(job, target)  # checked again: hours may have passed, and another server may share this folder
    if target.exists():
        target.rename(aside)
    try:
        scratch.rename(target)
    except OSError:
        # Another aggregator took over and removed this scratch folder: the earlier folder is then the result.
        if aside.is_dir() and not target.exists():
            aside.rename(target)
        raise
    sync_to_disk(target.parent)
    _remove(aside)


def _remove(aside: Path) -> None:
    """Removes a folder, or a link without its target. A remaining link would prevent the next publication."""
    if aside.is_symlink():
        aside.unlink(missing_ok=True)
    else:
        shutil.rmtree(aside, ignore_errors=True)
