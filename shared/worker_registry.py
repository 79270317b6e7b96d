"""Which workers are alive: each main process says so every few seconds."""

import json
from dataclasses import dataclass
from typing import Any

from shared.job import PREFIX
from shared.server import Client, insist

_WORKERS = f"{PREFIX}workers"


@dataclass(frozen=True)
class Worker:
    """A worker as it announced itself last."""

    name: str
    queues: list[str]
    processes: int
    resources: dict[str, Any]


def announce(
    client: Client, name: str, queues: list[str], processes: int, lease_s: float, resources: dict[str, Any]
) -> None:
    """Says that this worker lives; forgotten after `lease_s` without another word."""
    body = json.dumps({"queues": queues, "processes": processes, "resources": resources})
    insist(client, "SADD", _WORKERS, name)
    insist(client, "SET", f"{PREFIX}worker:{name}", body, "PX", int(lease_s * 1000))


def withdraw(client: Client, name: str) -> None:
    """Says that this worker ends."""
    client.delete(f"{PREFIX}worker:{name}")
    client.srem(_WORKERS, name)


def living_workers(client: Client, queue: str | None = None) -> list[Worker]:
    """Workers that have announced themselves lately, optionally those that consume `queue`."""
    found = []
    for raw in sorted(client.smembers(_WORKERS)):
        name = raw.decode()
        body = client.get(f"{PREFIX}worker:{name}")
        if body is None:
            client.srem(_WORKERS, name)
            continue
        worker = Worker(name=name, **json.loads(body))
        if queue is None or queue in worker.queues:
            found.append(worker)
    return found
