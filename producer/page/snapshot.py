"""What the page shows of a server at one moment. Reading it changes no job."""

from dataclasses import dataclass

from producer.page.waiting import Waiting, WaitingReader
from shared.domain.errors import FaceQueueError
from shared.domain.job import Job
from shared.store.dead_letters import count_dead_letters
from shared.store.jobs import read_jobs
from shared.store.redis_client import Client, server_time_ms
from shared.store.registry import newest_names, some_unfinished
from shared.store.worker_registry import Worker, living_workers

JOBS_A_PAGE = 100


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Jobs, workers and queues of a server."""

    time_ms: int
    """The server's time, in ms since 1970."""
    jobs: list[Job]
    """The jobs of one page, newest first; the first page also has unfinished ones that are older."""
    unreadable: list[FaceQueueError]
    """Why other records of this page cannot be shown."""
    all_jobs: int
    unfinished_jobs: int
    workers: list[Worker]
    waiting: Waiting
    dead_letters: int


def read_snapshot(client: Client, waiting: WaitingReader, page: int) -> Snapshot:
    """Reads a page of jobs, counted from 1, and all the rest. redis.RedisError as from the client.

    It takes the same time for any number of jobs.
    """
    names, total = newest_names(client, (page - 1) * JOBS_A_PAGE, JOBS_A_PAGE)
    unfinished, all_unfinished = some_unfinished(client, JOBS_A_PAGE)
    if page == 1:
        names = list(dict.fromkeys([*names, *unfinished]))
    jobs, unreadable = [], []
    for _, found in read_jobs(client, names):
        if isinstance(found, Job):
            jobs.append(found)
        elif found is not None:
            unreadable.append(found)
    return Snapshot(
        time_ms=server_time_ms(client),
        jobs=sorted(jobs, key=lambda job: (job.unfinished, job.created_ms, job.name), reverse=True),
        unreadable=unreadable,
        all_jobs=total,
        unfinished_jobs=all_unfinished,
        workers=living_workers(client),
        waiting=waiting.read(),
        dead_letters=count_dead_letters(client),
    )
