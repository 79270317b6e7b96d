"""A finished copy takes the name of the results folder: whole or not at all, and never that of another job's
results.
"""

import re
import shutil
from pathlib import Path

from shared.domain.errors import ResultsError
from shared.domain.job import Job
from shared.results.files import sync_to_disk
from shared.results.owner import why_not_replaced


def clean_up(name: str, results_dir: Path) -> None:
    """Removes what a killed aggregator of this job left, and puts an older folder back that it had set aside."""
    leftover = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}-[0-9a-f]+\.making")
    for path in results_dir.iterdir():
        if leftover.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)
    target, aside = results_dir / name, _aside(results_dir / name)
    if aside.is_dir() and not target.exists():
        aside.rename(target)
    _remove(aside)


def check_replaceable(job: Job, target: Path) -> None:
    """ResultsError where `target` is not this job's to replace."""
    reason = why_not_replaced(target, job.origin, job.source)
    if reason is not None:
        raise ResultsError(
            f"{reason}; it was left alone, and nothing of job '{job.name}' is lost. Move that folder "
            "away, or cancel the job and "
            "use another name."
        )


def publish(job: Job, scratch: Path, target: Path) -> None:
    """Gives the copy `scratch` the name `target`; what was there before is removed. ResultsError where that may not
    be.
    """
    aside = _aside(target)
    if not scratch.is_dir():
        raise ResultsError(f"The copy of {target.name} was removed while it was written: another aggregator is at it.")
    check_replaceable(job, target)  # again: hours have passed, and another server's aggregator may use this folder too
    if target.exists():
        target.rename(aside)
    try:
        scratch.rename(target)
    except OSError:
        # Another aggregator took this one for dead and removed its copy: what was there is the result then.
        if aside.is_dir() and not target.exists():
            aside.rename(target)
        raise
    sync_to_disk(target.parent)
    _remove(aside)


def _remove(aside: Path) -> None:
    """A link goes alone: what it leads to is on a disk of somebody's choice. Left behind, it would stop the next
    time.
    """
    if aside.is_symlink():
        aside.unlink(missing_ok=True)
    else:
        shutil.rmtree(aside, ignore_errors=True)


def _aside(target: Path) -> Path:
    return target.parent / f".{target.name}.replaced"
