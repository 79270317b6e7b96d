"""How much waits for workers in all installations on a server."""

from collections.abc import Iterable

from shared.domain.queues import AGGREGATE, EMBED
from shared.store.diversion import all_diverted_queues
from shared.store.queue_inspection import queue_length
from shared.store.redis_client import Client
from shared.store.turns import count_waiting


def queue_lengths(client: Client, prefixes: Iterable[str]) -> dict[str, int]:
    """What no worker has taken, by queue, for the installations with these queue prefixes: messages, and batches that
    wait for their turn.

    A diverted job's own queue counts as its installation's.
    """
    own = all_diverted_queues(client)
    lengths = {}
    for prefix in sorted(set(prefixes)):
        for queue in (f"{prefix}{name}" for name in (EMBED, AGGREGATE)):
            names = [queue, *(name for name in own if name.rpartition(".")[0] == queue)]
            messages = sum(queue_length(client, name) for name in names)
            lengths[queue] = messages + sum(count_waiting(client, queue).values())
    return lengths
