"""The messages that wait in a queue. They are read on the server, one range of the list at a time."""

import redis

from shared.store.redis_client import Client
from shared.store.scripts import run_script

_AT_ONCE = 64
_BYTES_AT_ONCE = 2**18
"""The most bytes that one script reads: the server answers nobody meanwhile."""


def waiting_tasks(client: Client, queue: str) -> set[str]:
    """The task ids of all messages in a queue."""
    found: set[str] = set()
    index = 0
    # New messages move the rest to higher indices, and taken messages leave the indices as they are: none is missed.
    while index >= 0:
        index, *some = run_script(client, "waiting", [queue], [index, _AT_ONCE, _BYTES_AT_ONCE])
        found.update(task_id.decode() for task_id in some)
    return found


def queue_length(client: Client, queue: str) -> int:
    """The number of messages in a queue; 0 if the key is not a queue."""
    try:
        return int(client.llen(queue))
    except redis.ResponseError:
        return 0
