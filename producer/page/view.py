"""What the template shows: every value as text or number, none of it markup."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from producer.console.progress import Speed, after_the_images
from producer.console.tables import batches_by_job, figure_of, refusals_of, state_of, time_since
from producer.page.result_files import ResultFiles
from producer.page.snapshot import JOBS_A_PAGE, Snapshot
from producer.page.speeds import Speeds, average_speed
from shared.domain.job import Job, JobState
from shared.domain.outcomes import FAILED
from shared.domain.paths import printable
from shared.domain.priority import Priority
from shared.results.schema import REPORT
from shared.store.worker_registry import Worker

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """A job."""

    name: str
    source: str
    state: str
    is_bad: bool
    """Whether somebody has to do something about it."""
    created: str
    """UTC, ISO 8601."""
    done: int
    images: int
    known_total: bool
    """False while images are still being found."""
    faces: int
    failed: int
    failures: str
    """The number of failed images by outcome."""
    speed: str
    priority: str
    """Empty if it is the usual one."""
    note: str
    """What is wrong, or what it waits for."""
    has_report: bool
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class WorkerRow:
    """A worker."""

    name: str
    host: str
    queues: str
    processes: int
    cpu: str
    memory: str
    speed: str
    images: str
    since: str
    batches: str
    refuses: str


@dataclass(frozen=True, kw_only=True)
class QueueRow:
    """A queue."""

    name: str
    waiting: int
    workers: int


@dataclass(frozen=True, kw_only=True)
class View:
    """One page."""

    page: int
    pages: int
    all_jobs: int
    unfinished: int
    speed: float
    waiting: int
    in_flight: int
    """Batches and aggregations that workers have announced."""
    dead_letters: int
    jobs: Sequence[JobRow]
    unreadable: Sequence[str]
    workers: Sequence[WorkerRow]
    queues: Sequence[QueueRow]
    more_queues: bool
    shows_refusals: bool


def make_view(snapshot: Snapshot, speeds: Speeds, files: ResultFiles, page: int, job_ttl_s: float) -> View:
    """The page that shows this snapshot."""
    workers = snapshot.workers
    jobs, strange = _rows(snapshot.jobs, lambda job: _job_row(job, snapshot.time_ms, speeds, files, job_ttl_s))
    return View(
        page=page,
        pages=max(1, -(-snapshot.all_jobs // JOBS_A_PAGE)),
        all_jobs=snapshot.all_jobs,
        unfinished=snapshot.unfinished_jobs,
        speed=sum(worker.figure("images_per_s") or 0.0 for worker in workers),
        waiting=sum(snapshot.waiting.queues.values()),
        in_flight=sum(len(worker.current) for worker in workers),
        dead_letters=snapshot.dead_letters,
        jobs=jobs,
        unreadable=[printable(str(error)) for error in snapshot.unreadable]
        + [f"Job '{job.name}' cannot be shown: its record holds impossible numbers." for job in strange],
        workers=_rows(workers, _worker_row)[0],
        queues=[
            QueueRow(name=printable(name), waiting=waiting, workers=sum(name in worker.queues for worker in workers))
            for name, waiting in snapshot.waiting.queues.items()
        ],
        more_queues=snapshot.waiting.more,
        shows_refusals=any(worker.refuses for worker in workers),
    )


def _rows(items: Iterable[T], make: Callable[[T], R]) -> tuple[list[R], list[T]]:
    """The rows of these items, and the items that have none: a damaged record may hold any number."""
    rows, strange = [], []
    for item in items:
        try:
            rows.append(make(item))
        except (ArithmeticError, ValueError, OSError):
            strange.append(item)
    return rows, strange


def _job_row(job: Job, now_ms: int, speeds: Speeds, files: ResultFiles, job_ttl_s: float) -> JobRow:
    stalled = job.is_stalled(now_ms, job_ttl_s)
    state = state_of(job, now_ms, stalled=stalled)
    names = files.names_of(job) if job.state == JobState.FINISHED else ()
    note = job.problem or (f"refused by a worker: {job.refusal}" if job.unfinished and job.refusal else "")
    return JobRow(
        name=job.name,
        source=job.source,
        state=state,
        is_bad=bool(note) or state != job.state,
        created=f"{datetime.fromtimestamp(job.created_ms / 1000, UTC):%Y-%m-%d %H:%M}",
        done=job.images_done,
        images=job.images,
        known_total=job.state != JobState.ENQUEUING,
        faces=job.faces,
        failed=job.failed,
        failures=", ".join(
            f"{job.outcomes[outcome]} {outcome}" for outcome in sorted(FAILED) if outcome in job.outcomes
        ),
        speed=_speed(job, speeds, now_ms),
        priority="" if job.priority is Priority.NORMAL else f"{job.priority} priority",
        note=note,
        has_report=REPORT in names,
        files=tuple(name for name in names if name != REPORT),
    )


def _speed(job: Job, speeds: Speeds, now_ms: int) -> str:
    """The speed and the time left of an unfinished job, the mean speed of a finished one."""
    if job.state == JobState.FINISHED:
        if job.started_ms is None or job.ended_ms is None:
            return ""
        elapsed_s = (job.ended_ms - job.started_ms) / 1000
        mean = average_speed(job, elapsed_s)
        return f"{Speed(mean.images_per_s, None)}, took {_duration(elapsed_s)}" if mean is not None else ""
    if job.complete:
        return after_the_images(job)
    speed = speeds.of(job, now_ms)
    return str(speed) if speed is not None else ""


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _worker_row(worker: Worker) -> WorkerRow:
    return WorkerRow(
        name=worker.name.partition("@")[0],
        host=worker.host,
        queues=", ".join(worker.queues),
        processes=worker.processes,
        cpu=figure_of(worker, "cpu_percent", 0),
        memory=figure_of(worker, "rss_mib", 0),
        speed=figure_of(worker, "images_per_s", 1),
        images=figure_of(worker, "images_done", 0),
        since=time_since(worker.started_ms),
        batches=batches_by_job(worker.current),
        refuses=refusals_of(worker),
    )
