"""The tasks that this worker's processes work on just now, as its main process knows them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from celery.worker import state

from shared.domain.job_names import is_job_name
from shared.messaging.messages import AGGREGATE_TASK, EMBED_TASK

_TRIES = 100


@dataclass(frozen=True)
class ActiveTask:
    """A task in the hands of one process."""

    task: str
    job: str
    """Empty where the task's id names none: somebody else's message."""
    batch: str
    """Its number; `aggregate` for the job's aggregation."""
    pid: int | None
    """None until a process has accepted it."""
    holder: str
    """Under which the process holds its lease in the job record."""

    @property
    def leased_batch(self) -> int | None:
        """The number of the batch that it embeds, if it does."""
        return int(self.batch) if self.job and self.task == EMBED_TASK and self.batch.isdecimal() else None

    @property
    def aggregates(self) -> bool:
        """Whether it aggregates its job."""
        return bool(self.job) and self.task == AGGREGATE_TASK


def active_tasks(requests: Iterable[Any] | None = None) -> list[ActiveTask]:
    """What is in work now. Safe to call from any thread; `requests` are Celery's active ones by default."""
    return [_describe(request) for request in _copy(state.active_requests if requests is None else requests)]


def _copy(requests: Iterable[Any]) -> list[Any]:
    """Celery's event loop adds requests and removes them; a copy that it disturbs is made anew."""
    for _ in range(_TRIES - 1):
        try:
            return list(requests)
        except RuntimeError:  # changed during iteration
            continue
    return list(requests)


def _describe(request: Any) -> ActiveTask:
    job, _, rest = str(request.id).partition(":")
    return ActiveTask(
        task=request.name,
        job=job if is_job_name(job) else "",
        batch=rest.partition(":")[0],
        pid=None if request.worker_pid is None else int(request.worker_pid),
        holder=f"{request.hostname}/{request.worker_pid}",
    )
