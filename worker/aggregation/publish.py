"""Publishes a finished scratch folder as the results folder: atomically, and never over another job's results."""

import shutil
from pathlib import Path

from shared.domain.durable_files import sync_to_disk
from shared.domain.errors import ResultsError
from shared.domain.job import Job
from shared.results.owner import why_not_replaced
from worker.aggregation.hidden_names import aside_path, scratch_of


def clean_up(job: Job, results_dir: Path) -> None:
    """Removes the leftovers of a killed aggregator of this job, and restores the folder that it had moved aside.

    ResultsError, with nothing removed, if the results folder is not this job's to replace.
    """
    target = results_dir / job.name
    aside = aside_path(target)
    if aside.is_dir() and not target.exists():
        aside.rename(target)
    check_replaceable(job, target)
    _remove(aside)
    for path in results_dir.iterdir():
        leftover = scratch_of(path.name)
        # Of this job alone: another server's job of the name may be aggregated into this folder just now.
        if leftover is not None and (leftover.job, leftover.uid_begins) == (job.name, job.uid[:8]):
            shutil.rmtree(path, ignore_errors=True)


def check_replaceable(job: Job, target: Path) -> None:
    """ResultsError if this job must not replace `target`."""
    reason = why_not_replaced(target, job.origin, job.source, job.options.replaces)
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
