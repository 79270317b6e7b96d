"""Follows a job until it ends, or until nobody works on it any more."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import redis

from producer.console.progress import progress_view, speed_since
from producer.submission.abandoned_jobs import ProducerGone, is_abandoned
from shared.config.settings import Settings
from shared.domain.errors import NotFinished, ResultsError, ServerError
from shared.domain.job import Job, JobState
from shared.domain.queues import AGGREGATE, EMBED
from shared.store.jobs import JobRecord
from shared.store.news import News
from shared.store.redis_client import Client, explain_server_errors, server_time_ms
from shared.store.worker_registry import Worker, living_workers

_POLL_S = 0.25


class JobCancelled(NotFinished):
    """A job was cancelled while it was followed."""


class JobNotServed(NotFinished):
    """Workers are alive, and none of them can serve the job."""

    def __init__(self, job: str, worker: str, reason: str, *, is_update: bool = False) -> None:
        fresh = " Or compute everything: repeat its command with --fresh." if is_update else ""
        super().__init__(
            f"No living worker can serve job '{job}'; {worker} says: {reason}. "
            f"Fix that, or start a worker that can serve it.{fresh}"
        )
        self.job = job


class NoWorkers(NotFinished):
    """Nobody serves a job's queue."""

    def __init__(self, job: str, queue: str, seconds: float) -> None:
        super().__init__(f"No worker has served the queue {queue} of job '{job}' for {seconds:.0f} s.")
        self.job = job


class ResultsNotWritten(ResultsError):
    """All images of a job are done, and its results could not be written."""

    def __init__(self, job: str, problem: str) -> None:
        super().__init__(problem)
        self.job = job


def follow(
    client: Client,
    name: str,
    settings: Settings,
    check: Callable[[], bool] = lambda: False,
    on_results: Callable[[], object] = lambda: None,
) -> Job:
    """Returns the finished job.

    JobCancelled; NoWorkers, JobNotServed or ProducerGone if nobody works on it or enqueues it for too long;
    ResultsNotWritten; ServerError if the server stays unreachable.

    `check` is called repeatedly, for callers that supervise the workers themselves. It may raise. It returns whether a
    worker is starting, so that a worker that takes long to get ready (the first on a machine converts the networks) is
    not reported missing. `on_results` is called once, when the results are in their place; the report may still be in
    the making.
    """
    with News(client, name) as news:
        return _Watcher(client, name, settings, news).follow(check, on_results)


@dataclass(frozen=True)
class _Look:
    """A job and its workers at one moment."""

    job: Job
    time: float
    """Of this process's monotonic clock, in seconds."""
    queue: str
    """What the job waits for: `embed` or `aggregate`."""
    workers: list[Worker]
    """The living workers that serve this queue."""
    refusals: Mapping[str, str]
    """By worker, the reason why it cannot serve the job."""
    abandoned: bool


class _Watcher:
    """What is remembered between two looks at a job."""

    def __init__(self, client: Client, name: str, settings: Settings, news: News) -> None:
        self._client, self._name, self._settings, self._news = client, name, settings, news
        self._record = JobRecord(client, name)
        self._first = self._load()
        self._view = progress_view(self._first)
        self._started = self._worker_seen_at = self._served_at = time.monotonic()
        self._images_done = -1
        self._server_lost_at: float | None = None
        self._server_back_at = -math.inf

    def follow(self, check: Callable[[], bool], on_results: Callable[[], object]) -> Job:
        with self._view:
            job = self._wait(check, lambda job: job.published_ms is not None, self._show)
        on_results()
        return job if job.state == "finished" else self._wait(check, lambda job: False, self._check_cancelled)

    def _wait(self, check: Callable[[], bool], enough: Callable[[Job], bool], note: Callable[[_Look], object]) -> Job:
        """Waits until the job is finished, or far `enough`, and returns it. `note` is called with every state that is
        read.
        """
        while True:
            worker_is_starting = check()
            look = self._look()
            if look is not None:
                note(look)
                if look.job.state == "finished" or enough(look.job):
                    return look.job
                self._check_results(look)
                self._check_refusals(look)
                self._check_producer(look)
                self._check_workers(look, worker_is_starting)
            self._news.wait(_POLL_S)

    def _load(self) -> Job:
        with explain_server_errors(self._settings):
            return self._record.load()

    def _look(self) -> _Look | None:
        """The job as it is now; None while the server does not say, ServerError once that lasts too long."""
        now = time.monotonic()
        try:
            look = self._read(now)
        except (ServerError, redis.RedisError):
            # The server may come back, with all finished work on its disk. A key that another program writes is put
            # right within seconds.
            self._server_lost_at = self._server_lost_at or now
            if now - self._server_lost_at > self._settings.worker_timeout_s:
                with explain_server_errors(self._settings):
                    raise
            return None
        if self._server_lost_at is not None:
            self._server_lost_at, self._server_back_at = None, now
        return look

    def _read(self, now: float) -> _Look:
        job = self._load()
        queue = AGGREGATE if job.complete else EMBED
        return _Look(
            job=job,
            time=now,
            queue=queue,
            workers=living_workers(self._client, f"{job.queue_prefix}{queue}"),
            refusals=self._record.refusals() if job.diverted and not job.complete else {},
            abandoned=job.state == JobState.ENQUEUING and is_abandoned(job, server_time_ms(self._client)),
        )

    def _show(self, look: _Look) -> None:
        """Shows the progress; JobCancelled if there is none to show."""
        self._check_cancelled(look)
        if look.job.complete and look.job.refusal is not None:  # others may go on
            self._view.note(f"{self._name}: {look.job.refusal}.")
        self._view.show(look.job, speed_since(self._first, look.job, look.time - self._started))

    def _check_cancelled(self, look: _Look) -> None:
        if look.job.uid != self._first.uid or look.job.state == "cancelled":
            raise JobCancelled(f"Job '{self._name}' was cancelled.")

    def _check_results(self, look: _Look) -> None:
        if look.job.problem is not None:
            raise ResultsNotWritten(self._name, look.job.problem)

    def _check_refusals(self, look: _Look) -> None:
        """JobNotServed if every living worker has refused the job for too long."""
        refusing = {worker.name: look.refusals[worker.name] for worker in look.workers if worker.name in look.refusals}
        for worker, reason in refusing.items():
            self._view.note(f"{worker} does not serve job {self._name}: {reason}")
        if len(refusing) < len(look.workers) or not look.workers or look.job.images_done != self._images_done:
            self._images_done, self._served_at = look.job.images_done, look.time
        if look.time - self._served_at > self._settings.worker_timeout_s:
            raise JobNotServed(self._name, *next(iter(refusing.items())), is_update=look.job.options.update)

    def _check_producer(self, look: _Look) -> None:
        """ProducerGone if nobody enqueues the rest of the job."""
        # After the server was unreachable, a living producer has yet to renew its lease.
        if look.abandoned and look.time - self._server_back_at > self._settings.lease_s / 3:
            raise ProducerGone(look.job)

    def _check_workers(self, look: _Look, worker_is_starting: bool) -> None:
        """NoWorkers if the job's queue has not been served for too long."""
        if worker_is_starting or look.workers:
            self._worker_seen_at = look.time
        if look.time - self._worker_seen_at > self._settings.worker_timeout_s:
            raise NoWorkers(self._name, look.queue, self._settings.worker_timeout_s)
