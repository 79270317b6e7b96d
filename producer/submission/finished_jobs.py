"""A finished job takes no more files: whether its folder is still as the job read it."""

from datetime import datetime
from pathlib import Path

from producer.submission.folder_changes import find_changes
from producer.submission.sources import Source
from shared.domain.errors import InvalidRequest
from shared.domain.job import Job
from shared.domain.paths import printable
from shared.results.files import read_json
from shared.results.schema import SUMMARY


class FolderChanged(InvalidRequest):
    """The folder of a finished job is not what the job read."""

    def __init__(self, job: Job, what: str, results: Path) -> None:
        super().__init__(
            f"Job {job.name} is finished, and its folder {job.source} has changed: {what}. A finished job takes no "
            "more files."
        )
        self.job, self.results = job, results


def refuse_changes(job: Job, source: Source, results: Path) -> None:
    """FolderChanged if the folder differs from what these results say about it."""
    changes = find_changes(source, results)
    if changes.counts:
        raise FolderChanged(job, f"{changes} since it began", results)


def refuse_visible_changes(job: Job, source: Source, results: Path) -> str:
    """The same if the results may be on another machine: then only the number of files is compared.

    Returns what was compared if nothing has changed.
    """
    if _are_of(job, results):
        refuse_changes(job, source, results)
        return "the folder is as it was"
    files = sum(1 for _ in source.find())
    if files != job.images:
        raise FolderChanged(job, f"{files} files are there now, and the job has {job.images}", results)
    return (
        f"its results are not in {printable(str(results.parent))}, so only the number of files ({files}) was compared"
    )


def _are_of(job: Job, results: Path) -> bool:
    """Whether a results folder exists and belongs to this job, not to an earlier one of the same name."""
    try:
        created = read_json(results / SUMMARY)["created"]
        return round(datetime.fromisoformat(created).timestamp() * 1000) == job.created_ms
    except (OSError, ValueError, LookupError, TypeError):
        return False
