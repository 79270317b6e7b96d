"""Opens the update of a job whose results exist: the same job again, which takes known images from them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from producer.submission.kept_results import refuse_to_replace
from producer.submission.requests import Request
from producer.submission.update_plan import UpdatePlan
from shared.config.settings import Settings
from shared.domain.contract import Runtime
from shared.domain.errors import ResultsError
from shared.domain.job import Job
from shared.domain.paths import printable
from shared.results.files import read_json
from shared.results.owner import results_uid
from shared.results.schema import SUMMARY
from shared.store.jobs import JobRecord


@dataclass(frozen=True)
class Opened:
    """The job of a request."""

    job: Job | None
    """None if it was finished before and nothing has changed since."""
    is_new: bool
    plan: UpdatePlan | None = None
    """What an update takes from the earlier results."""


@dataclass(frozen=True)
class Earlier:
    """The results of a job, which its next run may replace."""

    uid: str
    """Empty if they do not name it: then they cannot be updated."""
    runtime: Mapping[str, str] | None
    """The worker's part of their contract; None if they do not name it."""


def find_earlier(request: Request, origin: str, settings: Settings) -> Earlier | None:
    """The results that the request's job has; None if there are none here. InvalidRequest if they are another job's, or
    the request has other options and is not `fresh`.
    """
    folder = settings.results_dir / str(request.job)
    refuse_to_replace(settings.results_dir, str(request.job), origin, printable(request.source.shown), request)
    if not (folder / SUMMARY).is_file():
        return None
    return Earlier(results_uid(folder) or "", _runtime(folder))


def results_of(job: Job, settings: Settings) -> Path:
    """The folder that an update takes known images from; ResultsError if it has other results by now."""
    folder = settings.results_dir / job.name
    if results_uid(folder) != job.options.replaces:
        raise ResultsError(
            f"The update of job '{job.name}' takes known images from results that are no longer in "
            f"{printable(str(folder))}: they were replaced or moved meanwhile. Run `python -m producer cancel "
            f"{job.name}`, or repeat the command with --fresh to compute everything."
        )
    return folder


def present_job(record: JobRecord) -> Job | None:
    """The job of this name on the server, unless it is cancelled."""
    if not record.exists() or record.is_cancelled():
        return None
    return record.load()


def _runtime(folder: Path) -> Mapping[str, str] | None:
    try:
        contract = read_json(folder / SUMMARY)["contract"]
        found = {field.name: contract[field.name] for field in fields(Runtime)}
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found if all(isinstance(value, str) for value in found.values()) else None
