"""Keys that hold something else than they should, because another program has written there.

Those that all jobs share are put out of the way. What belongs there is made again: workers announce themselves, the
reconciler fills the index of jobs and gives them their turns, and clocks and totals start anew.
"""

from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

import redis

from shared.config.logs import get_logger
from shared.domain.priority import Priority
from shared.domain.queues import aggregate_queue, embed_queue
from shared.store.keys import (
    DEAD_LETTERS,
    DIVERTED,
    METRICS,
    REGISTRY,
    UNFINISHED,
    WORKERS,
    clock_key,
    processes_key,
    reconciler_key,
    reconciler_lease_key,
    set_aside_key,
    turns_key,
)
from shared.store.redis_client import Client
from shared.store.scripts import run_script

_SHARED = {
    REGISTRY: "zset",
    UNFINISHED: "zset",
    WORKERS: "set",
    METRICS: "hash",
    DIVERTED: "hash",
    DEAD_LETTERS: "list",
}
"""The types of keys that all installations on a server share."""
_log = get_logger("store")
T = TypeVar("T")


def set_aside_foreign_keys(client: Client, queue_prefix: str) -> list[str]:
    """Renames what other programs have written in the place of keys that the jobs of these queues share, and says so.

    Returns these keys. What they held is kept for a week.
    """
    return _set_aside(client, _kinds(queue_prefix))


def find_foreign_keys(client: Client, queue_prefix: str) -> dict[str, str]:
    """The same keys, and those of the queues, that have another type, with that type."""
    queues = dict.fromkeys((embed_queue(queue_prefix), aggregate_queue(queue_prefix)), "list")
    return _of_other_kinds(client, _kinds(queue_prefix) | queues)


def despite_foreign_turns(client: Client, queues: Collection[str], call: Callable[[], T]) -> T:
    """The result of `call`, which uses these queues and their turns. If one of the turns' keys has another type, it is
    renamed and `call` is repeated. redis.ResponseError says so if it is a queue's key.
    """
    try:
        return call()
    except redis.ResponseError as error:
        if "WRONGTYPE" not in str(error):
            raise
        if not _set_aside(client, _of_turns(queues)):
            for queue, kind in foreign_queues(client, queues).items():
                raise redis.ResponseError(why_no_queue(queue, kind)) from None
            raise
        return call()


def foreign_queues(client: Client, queues: Iterable[str]) -> dict[str, str]:
    """Those of these queues whose keys have another type, and that type. Their names are not facequeue's own, so they
    are left alone.
    """
    return _of_other_kinds(client, dict.fromkeys(sorted(queues), "list"))


def why_no_queue(queue: str, kind: str) -> str:
    """What is to be done if the key of a queue has this other type."""
    return (
        f"the key {queue} has the type {kind} and cannot be a queue: another program writes there. Remove it, or set "
        "another FACEQUEUE_QUEUE_PREFIX"
    )


def _kinds(queue_prefix: str) -> dict[str, str]:
    locks = dict.fromkeys((reconciler_key(queue_prefix), reconciler_lease_key(queue_prefix)), "string")
    return _SHARED | locks | _of_turns([embed_queue(queue_prefix), aggregate_queue(queue_prefix)])


def _of_other_kinds(client: Client, kinds: dict[str, str]) -> dict[str, str]:
    with client.pipeline(transaction=False) as pipe:
        for key in kinds:
            pipe.type(key)
        found = [kind.decode() for kind in pipe.execute()]
    return {key: is_ for (key, kind), is_ in zip(kinds.items(), found, strict=True) if is_ not in ("none", kind)}


def _of_turns(queues: Iterable[str]) -> dict[str, str]:
    kinds: dict[str, str] = {}
    for queue in queues:
        kinds |= {clock_key(queue): "hash", processes_key(queue): "string"}
        kinds |= {turns_key(queue, priority): "zset" for priority in Priority}
    return kinds


def _set_aside(client: Client, kinds: dict[str, str]) -> list[str]:
    keys = [name for key in kinds for name in (key, set_aside_key(key))]
    found = [part.decode() for part in run_script(client, "set_aside", keys, list(kinds.values()))]
    for key, kind in zip(found[::2], found[1::2], strict=True):
        _log.warning(
            "the key %s had the type %s: another program writes there. It was renamed to %s for a week, and jobs go "
            "on. Give that program another database",
            key,
            kind,
            set_aside_key(key),
            extra={"action": "key_set_aside"},
        )
    return found[::2]
