"""Follows a job to its end, on a terminal or line by line."""

import math
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import redis
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from producer.submission.resume_command import ProducerGone, is_abandoned
from shared.config.settings import Settings
from shared.domain.errors import NotFinished, ResultsError, ServerError
from shared.store.jobs import Job, JobRecord
from shared.store.redis_client import Client, explain_server_errors, server_time_ms
from shared.store.worker_registry import living_workers

_POLL_S = 0.25
_LINE_EVERY_S = 5.0


@dataclass(frozen=True)
class Speed:
    """Images a second since the following began."""

    images_per_s: float
    left_s: float | None

    def __str__(self) -> str:
        left = "" if self.left_s is None else f", {_clock(self.left_s)} left"
        return f"{self.images_per_s:.1f} images/s{left}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class JobCancelled(NotFinished):
    """A job was cancelled while somebody followed it."""


class JobNotServed(NotFinished):
    """Workers are there, and none of them can serve the job."""

    def __init__(self, job: str, worker: str, reason: str) -> None:
        super().__init__(
            f"No living worker can serve job '{job}'; {worker} says: {reason}. Fix that, or start a worker that can serve it."
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


def follow(client: Client, name: str, settings: Settings, check: Callable[[], bool] = lambda: False) -> Job:
    """Returns the finished job. JobCancelled; NoWorkers, JobNotServed or ProducerGone when nobody works on it or enqueues it
    for too long; ResultsNotWritten.

    `check` is called all the while, for those who look after the workers themselves: it may raise, and it says whether a
    worker is on its way, so that one is not missed that still gets ready (the first on a machine converts the networks).
    """
    record = JobRecord(client, name)
    first = _load(record, settings)
    started, last_worker_seen, lost_server_at = time.monotonic(), time.monotonic(), None
    done, last_fit = -1, time.monotonic()
    server_back_at = -math.inf
    view = _TerminalView(first) if sys.stderr.isatty() else _LineView()
    with view:
        while True:
            on_its_way = check()
            now = time.monotonic()
            try:
                job = _load(record, settings)
                wanted = "aggregate" if job.complete else "embed"
                workers = living_workers(client, f"{job.queue_prefix}{wanted}")
                working = on_its_way or bool(workers)
                refusals = record.refusals() if job.diverted and not job.complete else {}
                abandoned = job.state == "enqueuing" and is_abandoned(job, server_time_ms(client))
                server_back_at = now if lost_server_at is not None else server_back_at
                lost_server_at = None
            except (ServerError, redis.ConnectionError, redis.TimeoutError):
                # It may come back; what is done is on its disk.
                lost_server_at = lost_server_at or now
                if now - lost_server_at > settings.worker_timeout_s:
                    with explain_server_errors(settings):
                        raise
                time.sleep(_POLL_S)
                continue
            if job.uid != first.uid or job.state == "cancelled":
                raise JobCancelled(f"Job '{name}' was cancelled.")
            view.show(job, _speed(first, job, now - started))
            if job.state == "finished":
                return job
            if job.problem is not None:
                raise ResultsNotWritten(name, job.problem)
            refusing = {worker.name: refusals[worker.name] for worker in workers if worker.name in refusals}
            for worker, reason in refusing.items():
                view.note(f"{worker} does not serve job {name}: {reason}")
            if len(refusing) < len(workers) or not workers or job.images_done != done:
                done, last_fit = job.images_done, now
            if now - last_fit > settings.worker_timeout_s:
                worker, reason = next(iter(refusing.items()))
                raise JobNotServed(name, worker, reason)
            # Whoever was cut off from the server has yet to say that it lives.
            if abandoned and now - server_back_at > settings.lease_s / 3:
                raise ProducerGone(job)
            last_worker_seen = now if working else last_worker_seen
            if now - last_worker_seen > settings.worker_timeout_s:
                raise NoWorkers(name, wanted, settings.worker_timeout_s)
            time.sleep(_POLL_S)


def _load(record: JobRecord, settings: Settings) -> Job:
    with explain_server_errors(settings):
        return record.load()


def _speed(first: Job, job: Job, elapsed_s: float) -> Speed:
    done = job.images_done - first.images_done
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    known = job.state != "enqueuing" and rate > 0
    return Speed(rate, (job.images - job.images_done) / rate if known else None)


def describe(job: Job) -> str:
    """How far a job is, in a line."""
    total = f"{job.images}" if job.state != "enqueuing" else f"{job.images}+"
    return f"{job.images_done}/{total} images, {job.faces} faces, {job.failed} failed"


class _LineView:
    """For logs and pipes: a line every few seconds, and at the end."""

    def __init__(self) -> None:
        self._next = 0.0
        self._noted: set[str] = set()

    def __enter__(self) -> "_LineView":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def note(self, line: str) -> None:
        if line not in self._noted:
            self._noted.add(line)
            print(line, file=sys.stderr, flush=True)

    def show(self, job: Job, speed: Speed) -> None:
        if time.monotonic() >= self._next or job.state == "finished":
            self._next = time.monotonic() + _LINE_EVERY_S
            print(f"{job.name}: {describe(job)}, {speed}", file=sys.stderr, flush=True)


class _TerminalView:
    """A progress bar."""

    def __init__(self, job: Job) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[text]}"),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task(job.name, total=None, text="")
        self._noted: set[str] = set()

    def __enter__(self) -> "_TerminalView":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # the terminal is closed
            self._progress.stop()

    def note(self, line: str) -> None:
        if line not in self._noted:
            self._noted.add(line)
            self._progress.console.print(line, markup=False, highlight=False)

    def show(self, job: Job, speed: Speed) -> None:
        total = job.images if job.state != "enqueuing" else None
        doing = "writing results" if job.complete and job.state == "sealed" else str(speed)
        text = f"{job.faces} faces, {job.failed} failed, {doing}"
        self._progress.update(self._task, completed=job.images_done, total=total, text=text)
