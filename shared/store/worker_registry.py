"""The live workers. The main process of each announces it every few seconds."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.domain.paths import printable
from shared.store.keys import WORKER, WORKERS
from shared.store.redis_client import Client, run_despite_oom

_MOST_BYTES = 2**20
"""The maximum size of an announcement: anyone who can write to the server could store gigabytes there."""


@dataclass(frozen=True)
class Worker:
    """A worker's latest announcement."""

    name: str
    queues: list[str]
    processes: int
    resources: dict[str, float | str]
    """Sums over its processes (`worker.supervision.resource_sampler`), and what it serves as text; empty before the
    first sample.
    """
    host: str = ""
    started_ms: int = 0
    current: list[str] = field(default_factory=list)
    """`<job>:<batch>` of the batches that it processes."""
    refuses: dict[str, str] = field(default_factory=dict)
    """The reason by refused job."""

    def figure(self, name: str) -> float | None:
        """A number in `resources`; None before the first sample, or if it is not a number."""
        value = self.resources.get(name)
        return None if isinstance(value, str) else value


def announce(client: Client, worker: Worker, lease_s: float) -> None:
    """Announces a live worker. The announcement expires after `lease_s`."""
    run_despite_oom(client, "SADD", WORKERS, worker.name)
    run_despite_oom(client, "SET", WORKER + worker.name, json.dumps(asdict(worker)), "PX", int(lease_s * 1000))


def withdraw(client: Client, name: str) -> None:
    """Removes the worker's announcement."""
    client.delete(WORKER + name)
    client.srem(WORKERS, name)


def living_workers(client: Client, queue: str | None = None) -> list[Worker]:
    """The workers whose announcement has not expired, optionally only those that consume `queue`.

    Invalid announcements are skipped, so that a damaged one does not stop the callers.
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
    return said if said.name == name.decode() else None  # a worker's name is always printable


def _printable(value: Any) -> Any:
    """The same value with every string made printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return value


_WORKER = TypeAdapter(Worker)  # ignores fields that another version adds
