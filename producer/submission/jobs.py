"""Opens jobs: a new one, an unfinished one to resume, or a finished one whose failed images are to be retried."""

import re
from collections.abc import Callable
from datetime import datetime
from itertools import chain, count

from producer.submission.folder_source import source_to_send
from producer.submission.kept_results import differences, refuse_to_replace
from producer.submission.list_source import ListChanged
from producer.submission.requests import RUN_PREFIX, Request, origin_of
from producer.submission.update_plan import UpdatePlan
from producer.submission.updates import Earlier, Opened, find_earlier, present_job
from shared.config.settings import Settings
from shared.domain.counts import counted
from shared.domain.errors import InvalidRequest, JobNotFound, JobNotRetryable
from shared.domain.job import Job, JobState
from shared.domain.job_names import check_job_name
from shared.domain.options import Options
from shared.domain.paths import DATA_ROOT, printable
from shared.domain.priority import Priority
from shared.domain.queues import embed_queue
from shared.results.failed_list import failed_images
from shared.store.jobs import JobRecord, job_names, list_jobs
from shared.store.redis_client import Client, explain_server_errors
from shared.store.registry import drop_idle_queues


class JobExists(InvalidRequest):
    """A job of the requested name is on the server, and it is not the one requested."""

    def __init__(self, job: Job, problem: str, *, of_run: bool) -> None:
        super().__init__(f"Job '{job.name}' is there already{problem}.")
        self.job, self.of_run = job.name, of_run


def open_job(
    client: Client,
    request: Request,
    settings: Settings,
    say: Callable[[str], None],
    *,
    anew: bool = False,
    retry_failed: bool = False,
) -> Opened:
    """The job to enqueue into: new, an update, or one to resume.

    A request with a name means the job of that name; if it is finished and its results are here, they are updated, and
    with `retry_failed` their failed images are computed again. Without a name, it means the unfinished job of the same
    origin, or a new one. With `anew` the job is always new; JobExists if there is one of the name already.
    """
    origin = origin_of(request)
    if request.job:
        check_job_name(request.job)
    elif not anew and (unfinished := _unfinished(client, request, origin)):
        return Opened(_resumed(client, unfinished, request), is_new=False)
    if request.job and not anew:
        update = _open_update(client, request, settings, origin, say, retry_failed=retry_failed)
        if update is not None:
            return update
    job, is_new = _create(client, request, settings, origin)
    while job.origin != origin and not request.job:  # another producer has just made a job of this generated name
        job, is_new = _create(client, request, settings, origin)
    if job.origin != origin:
        there = {"contract": job.contract.as_dict(), "options": vars(job.options)}
        others = "; ".join(differences(there, request)) if job.source == printable(request.source.shown) else ""
        problem = f", for {job.source} with other settings" + (f" ({others})" if others else "")
        raise JobExists(job, problem, of_run=request.results_dir is not None)
    if is_new:
        return Opened(job, is_new=True)
    if anew:
        raise JobExists(job, ", so --new cannot make it", of_run=request.results_dir is not None)
    if job.unfinished and not _is_of_same_list(job, request):
        raise ListChanged(job.name, job.options.files)
    return Opened(_resumed(client, job, request), is_new=False)


def _open_update(
    client: Client,
    request: Request,
    settings: Settings,
    origin: str,
    say: Callable[[str], None],
    *,
    retry_failed: bool,
) -> Opened | None:
    """The update of a named job whose results are here; None if there is nothing to update, or it is unfinished."""
    name = str(request.job)
    record = JobRecord(client, name)
    present = present_job(record)
    if present is not None and present.unfinished:
        if not (request.fresh and present.options.update and present.origin == origin):
            return None
        say(f"The unfinished update of job {name} is discarded")
        cancel_job(client, name, settings, only=present, mark_s=0)
        present = None
    if present is not None and present.source != printable(request.source.shown):
        return None
    earlier = find_earlier(request, origin, settings)
    if earlier is None and not request.fresh:
        return None
    plan = None
    if earlier is not None and not earlier.uid and not request.fresh:
        say(f"The results of job {name} are of an earlier version, so everything is computed")
    elif earlier is not None and not request.fresh:
        results = settings.results_dir / name
        plan = UpdatePlan(request.source, results, checksum=request.checksum, retry_failed=retry_failed)
        if plan.counts.unchanged:
            say(f"Job {name} was finished before, and nothing has changed: {plan.counts.describe(name)}")
            return Opened(None, is_new=False)
        say(plan.counts.describe(name))
    job, is_new = _create(client, request, settings, origin, present, earlier, update=plan is not None)
    return Opened(job, is_new, plan) if is_new else None


def _unfinished(client: Client, request: Request, origin: str) -> Job | None:
    """The latest unfinished job of this origin."""
    of_origin = (job for job in reversed(list_jobs(client)) if job.origin == origin and job.unfinished)
    return next((job for job in of_origin if _is_of_same_list(job, request)), None)


def _is_of_same_list(job: Job, request: Request) -> bool:
    """Whether the rest of a job is the rest of the request's list. Folders may change meanwhile, lists may not."""
    listing = request.source.listing
    return job.options.files_digest == ("" if listing is None else listing.digest)


def _resumed(client: Client, job: Job, request: Request) -> Job:
    record = JobRecord(client, job.name)
    record.go_on(job.uid)
    if request.priority is None or not job.unfinished:
        return job
    set_priority(record, job, request.priority)
    return record.load()


def _create(
    client: Client,
    request: Request,
    settings: Settings,
    origin: str,
    present: Job | None = None,
    earlier: Earlier | None = None,
    *,
    update: bool = False,
) -> tuple[Job, bool]:
    """The new job, or the one that has its name already, and whether it is new.

    It takes the place of the finished job `present`, and its results may take that of the `earlier` ones.
    """
    source, listing = printable(request.source.shown), request.source.listing
    options = Options(
        # Workers have no folder of the images that are sent to them.
        folder=DATA_ROOT if request.inline else request.source.folder_below(settings.data_root),
        batch_size=request.batch_size,
        distances=request.distances,
        neighbors=request.neighbors,
        inline=request.inline,
        report=request.report,
        report_faces=request.report_faces,
        location=request.source.location,
        archives=request.source.archives,
        model_license=request.model_license,
        model_origin=request.model_origin,
        replaces="" if earlier is None else earlier.uid,
        update=update,
        files="" if listing is None else printable(listing.name),
        files_digest="" if listing is None else listing.digest,
    )
    if request.job:
        refuse_to_replace(settings.results_dir, request.job, origin, source, request)
    return JobRecord(client, request.job or new_job_name(request.source.stem, client)).create(
        origin=origin,
        source=source,
        contract=request.contract,
        options=options,
        queue_prefix=settings.queue_prefix,
        # The embeddings of an update are comparable only if all workers have the runtime of the earlier ones.
        runtime=earlier.runtime if earlier is not None and update else None,
        instead_of="" if present is None else present.uid,
        priority=request.priority or Priority.NORMAL,
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
            say(f"Retrying {counted(failed, 'failed image')} of job {name}")
        return record.load()


def prioritize_job(client: Client, name: str, priority: Priority, settings: Settings) -> bool:
    """Changes the priority of an unfinished job; False if it has that priority already."""
    with explain_server_errors(settings):
        record = JobRecord(client, name)
        return set_priority(record, record.load(), priority)


def set_priority(record: JobRecord, job: Job, priority: Priority) -> bool:
    """As `prioritize_job`. The job takes its turn among those of that priority."""
    queues = [embed_queue(job.queue_prefix), job.aggregate_queue]
    answer = record.prioritize(job.uid, priority, queues)
    if answer not in ("changed", "same"):
        raise InvalidRequest(f"Job '{job.name}' is {printable(answer)}: only an unfinished job has a priority.")
    record.queue_up(job.uid, job.turns_queue)
    return answer == "changed"


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
