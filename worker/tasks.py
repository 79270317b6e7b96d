"""The tasks: embed a batch, compare the faces of a tile, aggregate a job. They read the message, call, and answer."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from celery import Task
from celery.exceptions import Ignore

from shared.config.logs import log_fields
from shared.domain.errors import BadMessage
from shared.messaging.messages import (
    AGGREGATE_TASK,
    EMBED_TASK,
    PAIR_TILE_TASK,
    Aggregate,
    EmbedBatch,
    PairTile,
    parse_message,
)
from worker.answers import MOST_CHARACTERS, TaskAnswer
from worker.broker.rejection import reject_message
from worker.execution.connections import Connections
from worker.execution.crash_attribution import BatchMonitor
from worker.execution.job_aggregator import JobAggregator
from worker.execution.task_request import AnsweredRequest, BatchRequest

M = TypeVar("M", bound=EmbedBatch | Aggregate | PairTile)


class _Executor(Protocol):
    def execute(self, batch: Any, worker: str) -> TaskAnswer: ...


class _BatchTask(Task):  # type: ignore[misc]
    """A task on one batch, which is leased and committed."""

    kind: type[EmbedBatch | PairTile]
    """Of its message."""
    max_retries = 0
    resultrepr_maxsize = MOST_CHARACTERS
    Request = BatchRequest

    def __init__(self, connections: Connections, executor: _Executor, monitor: BatchMonitor) -> None:
        self._connections, self._executor = connections, executor
        self.monitor = monitor

    def run(self, message: Any = None, **unknown: Any) -> TaskAnswer:
        """Called in a child process."""
        batch = _read(self.kind, self.name, message, unknown, self._connections)
        with log_fields(job=batch.job, batch=batch.batch):
            return self._executor.execute(batch, str(self.request.hostname))


class EmbedBatchTask(_BatchTask):
    """Embeds one batch and commits its block. The outcome of an image is in its record and never raises."""

    name, kind = EMBED_TASK, EmbedBatch


class PairTileTask(_BatchTask):
    """Finds the candidates for nearest faces in one tile of a job's pair matrix."""

    name, kind = PAIR_TILE_TASK, PairTile


class AggregateTask(Task):  # type: ignore[misc]
    """Writes the results of a complete job. It may run twice, also at the same time."""

    name = AGGREGATE_TASK
    max_retries = 0
    resultrepr_maxsize = MOST_CHARACTERS
    Request = AnsweredRequest

    def __init__(self, connections: Connections, aggregator: JobAggregator) -> None:
        self._connections, self._aggregator = connections, aggregator

    def run(self, message: Any = None, **unknown: Any) -> TaskAnswer:
        """Called in a child process."""
        wanted = _read(Aggregate, self.name, message, unknown, self._connections)
        with log_fields(job=wanted.job):
            return self._aggregator.aggregate(wanted, str(self.request.hostname))


def _read(kind: type[M], task: str, message: Any, unknown: Mapping[str, Any], connections: Connections) -> M:
    """The task's message. A bad one becomes a dead letter and ends the task without an answer."""
    try:
        if unknown:
            raise BadMessage(f"unknown arguments: {', '.join(sorted(unknown))}")
        return parse_message(kind, message)
    except BadMessage as error:
        reject_message(connections.patient, task, error, {"message": message, **unknown})
        raise Ignore(str(error)) from None
