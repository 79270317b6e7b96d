"""The ids of tasks. The reconciler compares them with the messages in the queues."""

import uuid
from dataclasses import dataclass

from shared.domain.job_names import is_job_name

_AGGREGATE = "aggregate"


def embed_task_id(job: str, batch: int, send: int | str) -> str:
    """The id of the task that embeds a batch, for one of its send numbers."""
    return f"{job}:{batch}:{send}"


def aggregate_task_id(job: str) -> str:
    """An id of a task that aggregates a job. Each call returns another one."""
    return f"{job}:{_AGGREGATE}:{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class TaskId:
    """The job and the part of it that a task works on, according to its id."""

    job: str
    part: str
    """The batch number, or `aggregate` for the job's aggregation."""

    @property
    def batch(self) -> int | None:
        """The batch number; None for an aggregation."""
        return int(self.part) if self.part.isdecimal() else None

    @property
    def label(self) -> str:
        """Job and part, for display and announcements. `parse_task_id` can read it."""
        return f"{self.job}:{self.part}"


def parse_task_id(task_id: str) -> TaskId | None:
    """The parsed id; None if it is not an id of facequeue."""
    job, _, rest = task_id.partition(":")
    return TaskId(job, rest.partition(":")[0]) if is_job_name(job) else None


def aggregated_job(task_id: str) -> str | None:
    """The job that a task aggregates; None if it is another kind of task."""
    found = parse_task_id(task_id)
    return found.job if found is not None and found.part == _AGGREGATE else None
