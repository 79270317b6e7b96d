"""Removes jobs that the server need not keep: finished ones, and unfinished ones that nobody resumes."""

from collections.abc import Callable, Collection, Sequence

from producer.submission.jobs import cancel_job
from shared.config.settings import Settings
from shared.domain.counts import counted
from shared.domain.errors import JobNotFound, RecordUnreadable
from shared.domain.job import Job, JobState
from shared.store.jobs import JobRecord
from shared.store.redis_client import Client, server_time_ms

_DAY_S = 86_400


def stalled_jobs(client: Client, jobs: Sequence[Job], settings: Settings) -> Collection[str]:
    """The names of unfinished jobs that have had no news for `job_ttl_s`, by the server's clock."""
    now_ms = server_time_ms(client)
    return {job.name for job in jobs if job.is_stalled(now_ms, settings.job_ttl_s)}


def prune_jobs(
    client: Client, jobs: Sequence[Job], stalled_days: int | None, settings: Settings, say: Callable[[str], None]
) -> None:
    """Removes finished jobs, and unfinished ones without news for `stalled_days` (None: no unfinished ones).

    A job that was reopened or had news after it was read is kept.
    """
    now_ms = server_time_ms(client)
    for job in jobs:
        stalled = stalled_days is not None and job.is_stalled(now_ms, stalled_days * _DAY_S)
        if job.state != JobState.FINISHED and not stalled:
            continue
        try:
            if job.state == JobState.FINISHED:  # it has no messages in the queue
                removed = JobRecord(client, job.name).delete(job)
            else:
                removed = cancel_job(client, job.name, settings, only=job, mark_s=0)
        except (JobNotFound, RecordUnreadable):  # another command was faster, or the record has expired
            continue
        left = f"not done: {job.images - job.images_done:,} of {counted(job.images, 'image')}"
        if not removed:
            say(f"Kept: {job.name}, which was active meanwhile")
        elif job.state == JobState.FINISHED:
            say(f"Forgotten: {job.name}")
        else:
            say(f"Removed: {job.name} ({job.source}); {left}")
