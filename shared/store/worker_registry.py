"""The live workers. The main process of each announces it every few seconds."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import redis
from pydantic import TypeAdapter, ValidationError

from shared.domain.paths import printable
from shared.store.keys import WORKERS, reconciler_key, worker_key, worker_key_of
from shared.store.redis_client import Client
from shared.store.scripts import run_script

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
    keys = [WORKERS, worker_key(worker.name)]
    run_script(client, "announce", keys, [worker.name, json.dumps(asdict(worker)), int(lease_s * 1000)])


def withdraw(client: Client, name: str) -> None:
    """Removes the worker's announcement."""
    with client.pipeline() as pipe:
        pipe.delete(worker_key(name))
        pipe.srem(WORKERS, name)
        pipe.execute()


def sign_off(client: Client, name: str, queue_prefix: str) -> None:
    """Removes what a killed worker could not remove: otherwise it would seem alive for another lease."""
    withdraw(client, name)
    run_script(client, "resign", [reconciler_key(queue_prefix)], [name])


def living_workers(client: Client, queue: str | None = None) -> list[Worker]:
    """The workers whose announcement has not expired, optionally only those that consume `queue`.

    Invalid announcements are skipped, so that a damaged one does not stop the callers.
    """
    found = []
    for raw in sorted(client.smembers(WORKERS)):
        try:
            body = run_script(client, "announcement", [WORKERS, worker_key_of(raw)], [raw, _MOST_BYTES])
        except redis.ResponseError:  # not a string
            continue
        worker = _read(raw, body) if 0 < len(body) <= _MOST_BYTES else None
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
