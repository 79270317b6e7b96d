"""The ids of tasks: what the reconciler compares with the messages that wait."""

import uuid
from dataclasses import dataclass

from shared.domain.job_names import is_job_name

_AGGREGATE = "aggregate"


def embed_task_id(job: str, batch: int, send: int | str) -> str:
    """The id of the task that embeds a batch, for one of its sendings."""
    return f"{job}:{batch}:{send}"


def aggregate_task_id(job: str) -> str:
    """An id of a task that aggregates a job; each call gives another one."""
    return f"{job}:{_AGGREGATE}:{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class TaskId:
    """What a task works on, as its id says."""

    job: str
    part: str
    """The number of its batch; `aggregate` for the job's aggregation."""

    @property
    def batch(self) -> int | None:
        """The number of its batch; None for an aggregation."""
        return int(self.part) if self.part.isdecimal() else None

    @property
    def label(self) -> str:
        """Job and part, for people and announcements; `parse_task_id` reads it too."""
        return f"{self.job}:{self.part}"


def parse_task_id(task_id: str) -> TaskId | None:
    """What an id says; None if it names no job, and hence is somebody else's."""
    job, _, rest = task_id.partition(":")
    return TaskId(job, rest.partition(":")[0]) if is_job_name(job) else None


def aggregated_job(task_id: str) -> str | None:
    """The job that a task aggregates; None if it is a task of another kind."""
    found = parse_task_id(task_id)
    return found.job if found is not None and found.part == _AGGREGATE else None
