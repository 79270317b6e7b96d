"""The names of queues. Each starts with a prefix that distinguishes the installations on one server."""

import re

EMBED = "embed"
AGGREGATE = "aggregate"
_OWN_QUEUE = re.compile(rf"{EMBED}\.[0-9a-f]{{8}}")


def embed_queue(prefix: str) -> str:
    """The queue for the batches of all jobs that any worker can serve."""
    return f"{prefix}{EMBED}"


def aggregate_queue(prefix: str) -> str:
    """The queue for aggregations."""
    return f"{prefix}{AGGREGATE}"


def own_queue(prefix: str, uid: str) -> str:
    """The queue for one diverted job (`shared.store.diversion`)."""
    return f"{prefix}{EMBED}.{uid[:8]}"


def is_own_queue(prefix: str, queue: str) -> bool:
    """Whether this is the queue of a diverted job with this prefix."""
    return queue.startswith(prefix) and _OWN_QUEUE.fullmatch(queue[len(prefix) :]) is not None
