"""Which workers are alive: each main process says so every few seconds."""

import json
from dataclasses import asdict, dataclass, field, fields
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
    """Sums over its processes (`worker.resources`), empty at the very start."""
    host: str = ""
    started_ms: int = 0
    current: list[str] = field(default_factory=list)
    """`<job>:<batch>` of the batches that it works on."""
    refuses: dict[str, str] = field(default_factory=dict)
    """Why it does not serve which jobs."""


def announce(client: Client, worker: Worker, lease_s: float) -> None:
    """Says that this worker lives; forgotten after `lease_s` without another word."""
    insist(client, "SADD", _WORKERS, worker.name)
    insist(client, "SET", f"{PREFIX}worker:{worker.name}", json.dumps(asdict(worker)), "PX", int(lease_s * 1000))


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
        # A worker of another version may say more.
        said = {key: value for key, value in json.loads(body).items() if key in _FIELDS}
        worker = Worker(**said | {"name": name})
        if queue is None or queue in worker.queues:
            found.append(worker)
    return found


_FIELDS = {part.name for part in fields(Worker)}
