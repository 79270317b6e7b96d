"""Renames a finished copy to the results folder: whole or not at all, and never over another job's results."""

import re
import shutil
from pathlib import Path

from shared.domain.errors import ResultsError
from shared.domain.job import Job
from shared.results.files import sync_to_disk
from shared.results.owner import why_not_replaced


def clean_up(job: Job, results_dir: Path) -> None:
    """Removes what a killed aggregator of this job left behind, and restores the folder that it had set aside.

    ResultsError, with nothing removed, if the results folder is not this job's to replace.
    """
    target, aside = results_dir / job.name, _aside(results_dir / job.name)
    if aside.is_dir() and not target.exists():
        aside.rename(target)
    check_replaceable(job, target)
    _remove(aside)
    # Of this job alone: another server's job of the name may be aggregated into this folder just now.
    leftover = re.compile(rf"\.{re.escape(job.name)}\.{re.escape(job.uid[:8])}-[0-9a-f]+\.making")
    for path in results_dir.iterdir():
        if leftover.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def check_replaceable(job: Job, target: Path) -> None:
    """ResultsError if `target` is not this job's to replace."""
    reason = why_not_replaced(target, job.origin, job.source)
    if reason is not None:
        raise ResultsError(
            f"{reason}; it was left alone, and nothing of job '{job.name}' is lost. Move that folder away, or cancel "
            "the job and use another name."
        )


def publish(job: Job, scratch: Path, target: Path) -> None:
    """Renames the copy `scratch` to `target` and removes what was there. ResultsError if `target` is not this job's."""
    aside = _aside(target)
    if not scratch.is_dir():
        raise ResultsError(
            f"The copy of {target.name} was removed while it was written: another aggregator has taken over."
        )
    check_replaceable(job, target)  # again: hours may have passed, and another server may share this folder
    if target.exists():
        target.rename(aside)
    try:
        scratch.rename(target)
    except OSError:
        # Another aggregator took over and removed this copy: the folder that was there is then the result.
        if aside.is_dir() and not target.exists():
            aside.rename(target)
        raise
    sync_to_disk(target.parent)
    _remove(aside)


def _remove(aside: Path) -> None:
    """Removes a folder, or a link but not its target. A link left behind would prevent the next publication."""
    if aside.is_symlink():
        aside.unlink(missing_ok=True)
    else:
        shutil.rmtree(aside, ignore_errors=True)


def _aside(target: Path) -> Path:
    return target.parent / f".{target.name}.replaced"
