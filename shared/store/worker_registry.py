"""Which workers are alive: each main process says so every few seconds."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.domain.paths import printable
from shared.store.keys import RECONCILER, WORKER, WORKERS
from shared.store.redis_client import Client, insist
from shared.store.scripts import run_script

_MOST_BYTES = 2**20
"""No worker announces more. Whoever can write to the server could put gigabytes there."""


@dataclass(frozen=True)
class Worker:
    """A worker as it announced itself last."""

    name: str
    queues: list[str]
    processes: int
    resources: dict[str, float | str]
    """Sums over its processes (`worker.supervision.resource_sampler`) and what it serves, in words; empty at the very
    start.
    """
    host: str = ""
    started_ms: int = 0
    current: list[str] = field(default_factory=list)
    """`<job>:<batch>` of the batches that it works on."""
    refuses: dict[str, str] = field(default_factory=dict)
    """Why it does not serve which jobs."""

    def figure(self, name: str) -> float | None:
        """One of `resources`; None before its first sample, or where it is no number."""
        value = self.resources.get(name)
        return None if isinstance(value, str) else value


def announce(client: Client, worker: Worker, lease_s: float) -> None:
    """Says that this worker lives; forgotten after `lease_s` without another word."""
    insist(client, "SADD", WORKERS, worker.name)
    insist(client, "SET", WORKER + worker.name, json.dumps(asdict(worker)), "PX", int(lease_s * 1000))


def withdraw(client: Client, name: str) -> None:
    """Says that this worker ends."""
    client.delete(WORKER + name)
    client.srem(WORKERS, name)


def sign_off(client: Client, name: str, queue_prefix: str) -> None:
    """Does what a worker that was killed cannot do any more: otherwise it would seem alive for another lease."""
    withdraw(client, name)
    run_script(client, "resign", [f"{RECONCILER}:{queue_prefix}"], [name])


def living_workers(client: Client, queue: str | None = None) -> list[Worker]:
    """Workers that have announced themselves lately, optionally those that consume `queue`.

    An announcement that no worker of ours makes is passed over: it must not stop those who ask.
    """
    found = []
    for raw in sorted(client.smembers(WORKERS)):
        body = client.getrange(WORKER.encode() + raw, 0, _MOST_BYTES)
        if not body:
            client.srem(WORKERS, raw)
            continue
        worker = _read(raw, body) if len(body) <= _MOST_BYTES else None
        if worker is not None and (queue is None or queue in worker.queues):
            found.append(worker)
    return found


def _read(name: bytes, body: bytes) -> Worker | None:
    try:
        said = _WORKER.validate_python(_printable(json.loads(body) | {"name": name.decode()}))
    except (ValidationError, ValueError, TypeError, RecursionError):
        return None
    return said if said.name == name.decode() else None  # one that is not printable is no worker's


def _printable(value: Any) -> Any:
    """The same with every text fit for a terminal."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return value


_WORKER = TypeAdapter(Worker)  # passes over what a worker of another version says beside
