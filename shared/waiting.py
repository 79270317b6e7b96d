"""What waits in a queue: task ids, read from the messages in its list (kombu's JSON, whose body is in base64)."""

import re
from collections.abc import Iterator

from shared.server import Client

_TASK_ID = re.compile(rb'"id": ?"([!-~]{1,255}?)"')
_AT_ONCE = 500


def waiting_tasks(client: Client, queue: str) -> set[str]:
    """The task ids of all messages in a queue."""
    return {task_id for _, task_id in _messages(client, queue)}


def waiting_aggregations(client: Client, queue: str) -> set[str]:
    """The names of the jobs whose aggregation waits in a queue."""
    return {job for job, what, _ in map(_parts, waiting_tasks(client, queue)) if what == "aggregate"}


def remove_waiting(client: Client, queue: str, job: str) -> None:
    """Takes the messages of a job out of a queue that perhaps nobody serves any more."""
    for raw, task_id in list(_messages(client, queue)):
        if task_id.startswith(f"{job}:"):
            client.lrem(queue, 1, raw)


def _parts(task_id: str) -> tuple[str, str, str]:
    job, _, rest = task_id.partition(":")
    what, _, which = rest.partition(":")
    return job, what, which


def _messages(client: Client, queue: str) -> Iterator[tuple[bytes, str]]:
    for first in range(0, client.llen(queue), _AT_ONCE):
        for raw in client.lrange(queue, first, first + _AT_ONCE - 1):
            for task_id in _TASK_ID.findall(raw):
                yield raw, task_id.decode()
