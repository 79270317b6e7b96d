"""The tasks that this worker's processes are running, as its main process knows them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from celery.worker import state

from shared.domain.task_ids import TaskId, parse_task_id
from shared.messaging.messages import AGGREGATE_TASK, EMBED_TASK, PAIR_TILE_TASK

_TRIES = 100


@dataclass(frozen=True)
class ActiveTask:
    """A task of one process."""

    task: str
    of: TaskId | None
    """The job and the part that it works on; None for a message that is not of facequeue."""
    pid: int | None
    """None until a process has accepted it."""
    holder: str
    """The holder of the process's lease in the job record."""

    @property
    def leased_batch(self) -> tuple[str, int] | None:
        """The job and the number of the batch or tile that it computes; None for other tasks."""
        if self.of is None or self.of.batch is None or self.task not in (EMBED_TASK, PAIR_TILE_TASK):
            return None
        return self.of.job, self.of.batch

    @property
    def aggregated_job(self) -> str | None:
        """The job that it aggregates; None for other tasks."""
        return self.of.job if self.of is not None and self.task == AGGREGATE_TASK else None


def active_tasks(requests: Iterable[Any] | None = None) -> list[ActiveTask]:
    """The running tasks. Safe to call from any thread; `requests` are Celery's active ones by default."""
    return [_describe(request) for request in _copy(state.active_requests if requests is None else requests)]


def _copy(requests: Iterable[Any]) -> list[Any]:
    """Copies the requests. Celery's event loop changes them meanwhile; a copy that it disturbs is repeated."""
    for _ in range(_TRIES - 1):
        try:
            return list(requests)
        except RuntimeError:  # changed during iteration
            continue
    return list(requests)


def _describe(request: Any) -> ActiveTask:
    return ActiveTask(
        task=request.name,
        of=parse_task_id(str(request.id)),
        pid=None if request.worker_pid is None else int(request.worker_pid),
        holder=f"{request.hostname}/{request.worker_pid}",
    )
