"""The ids of tasks: what the reconciler compares with the messages that wait."""

import uuid

_AGGREGATE = "aggregate"


def embed_task_id(job: str, batch: int, send: int | str) -> str:
    """The id of the task that embeds a batch, for one of its sendings."""
    return f"{job}:{batch}:{send}"


def aggregate_task_id(job: str) -> str:
    """An id of a task that aggregates a job; each call gives another one."""
    return f"{job}:{_AGGREGATE}:{uuid.uuid4().hex[:8]}"


def aggregated_job(task_id: str) -> str | None:
    """The job that a task aggregates; None if it is a task of another kind."""
    job, _, rest = task_id.partition(":")
    return job if rest.partition(":")[0] == _AGGREGATE else None
