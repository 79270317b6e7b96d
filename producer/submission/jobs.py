"""Opens jobs: a new one, an unfinished one to resume, or a finished one whose failed images are to be retried."""

import re
from collections.abc import Callable
from datetime import datetime
from itertools import chain, count

from producer.submission.folder_source import source_to_send
from producer.submission.kept_results import refuse_to_replace
from producer.submission.list_source import ListChanged
from producer.submission.requests import RUN_PREFIX, Request, origin_of
from shared.config.settings import Settings
from shared.domain.errors import InvalidRequest, JobNotFound, JobNotRetryable
from shared.domain.job import Job, JobState
from shared.domain.job_names import check_job_name
from shared.domain.options import Options
from shared.domain.paths import DATA_ROOT, printable
from shared.results.failed_list import failed_images
from shared.store.jobs import JobRecord, job_names, list_jobs
from shared.store.redis_client import Client, explain_server_errors
from shared.store.registry import drop_idle_queues


class JobExists(InvalidRequest):
    """A job of the requested name is on the server, and it is not the one requested."""

    def __init__(self, job: Job, problem: str, *, of_run: bool) -> None:
        super().__init__(f"Job '{job.name}' is there already{problem}.")
        self.job, self.of_run = job.name, of_run


def open_job(client: Client, request: Request, settings: Settings, *, anew: bool = False) -> tuple[Job, bool]:
    """The job to enqueue into, and whether it is new.

    A request with a name means the job of that name. Without one, it means the unfinished job of the same origin, or a
    new one. With `anew` the job is always new; JobExists if there is one of the name already.
    """
    origin = origin_of(request)
    if request.job:
        check_job_name(request.job)
    elif not anew and (unfinished := _unfinished(client, request, origin)):
        return _resumed(client, unfinished), False
    job, is_new = _create(client, request, settings, origin)
    while job.origin != origin and not request.job:  # another producer has just made a job of this generated name
        job, is_new = _create(client, request, settings, origin)
    if job.origin != origin:
        problem = f", for {job.source} with other settings"
        raise JobExists(job, problem, of_run=request.results_dir is not None)
    if is_new:
        return job, True
    if anew:
        raise JobExists(job, ", so --new cannot make it", of_run=request.results_dir is not None)
    if job.unfinished and not _is_of_same_list(job, request):
        raise ListChanged(job.name, job.options.files)
    return _resumed(client, job), False


def _unfinished(client: Client, request: Request, origin: str) -> Job | None:
    """The latest unfinished job of this origin."""
    of_origin = (job for job in reversed(list_jobs(client)) if job.origin == origin and job.unfinished)
    return next((job for job in of_origin if _is_of_same_list(job, request)), None)


def _is_of_same_list(job: Job, request: Request) -> bool:
    """Whether the rest of a job is the rest of the request's list. Folders may change meanwhile, lists may not."""
    listing = request.source.listing
    return job.options.files_digest == ("" if listing is None else listing.digest)


def _resumed(client: Client, job: Job) -> Job:
    JobRecord(client, job.name).go_on(job.uid)
    return job


def _create(client: Client, request: Request, settings: Settings, origin: str) -> tuple[Job, bool]:
    """The new job, or the one that has its name already, and whether it is new."""
    source, listing = printable(request.source.shown), request.source.listing
    options = Options(
        # Workers have no folder of the images that are sent to them.
        folder=DATA_ROOT if request.inline else request.source.folder_below(settings.data_root),
        batch_size=request.batch_size,
        distances=request.distances,
        inline=request.inline,
        report=request.report,
        archives=request.source.archives,
        files="" if listing is None else printable(listing.name),
        files_digest="" if listing is None else listing.digest,
    )
    if request.job:
        refuse_to_replace(settings.results_dir, request.job, origin, source)
    return JobRecord(client, request.job or new_job_name(request.source.stem, client)).create(
        origin=origin, source=source, contract=request.contract, options=options, queue_prefix=settings.queue_prefix
    )


def new_job_name(stem: str, client: Client) -> str:
    """A readable name that no job on this server has: `photos-20260131-142501`."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:60] or "images"
    base = f"{stem}-{datetime.now():%Y%m%d-%H%M%S}"
    taken = set(job_names(client))
    numbered = (f"{base}-{k}" for k in count(2))
    return next(name for name in chain([base], numbered) if name not in taken)


def retry_job(client: Client, name: str, settings: Settings, say: Callable[[str], None]) -> Job:
    """Reopens a finished job for its failed images, or resumes a retry that was interrupted."""
    with explain_server_errors(settings):
        record = JobRecord(client, name)
        job = record.load()
        source_to_send(job)  # refuses before anything is changed
        refuse_to_replace(settings.results_dir, name, job.origin, job.source)
        failed_images(record, job, settings.results_dir)
        if not (job.retries and job.state == JobState.ENQUEUING):
            failed = record.reopen(job)
            if failed == 0:
                raise JobNotRetryable(f"No image of job '{name}' failed: there is nothing to retry.")
            say(f"Retrying {failed} failed images of job {name}")
        return record.load()


def cancel_job(client: Client, name: str, settings: Settings, *, only: Job | None = None, mark_s: int = 60) -> bool:
    """Ends a job and removes its record, except for a mark that tells those who watch.

    Its messages stay in the shared queues: finding them among those of other jobs would take seconds of the server's
    time. A worker that reads one drops it, since the batch is not in any record (`take`).

    With `only`, the job is removed only if it has not changed since it was read; False if it has.
    """
    with explain_server_errors(settings):
        record = JobRecord(client, name)
        if not record.exists():
            raise JobNotFound(name)
        prefix, own = record.queue_prefix(), record.embed_queue()
        if not record.delete(only, keep_mark_s=mark_s):
            return False
        record.undivert(own)
        # Workers drop the messages that are left in shared queues. Nobody serves the queues of a `run` that has ended.
        if prefix.startswith(RUN_PREFIX):
            drop_idle_queues(client, prefix)
        return True
