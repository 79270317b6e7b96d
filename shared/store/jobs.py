"""Job records in Redis.

Every change that must be atomic is one Lua script (`lua/`), so a process may die between any two calls.
"""

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import redis

from shared.domain.contract import Contract
from shared.domain.errors import FaceQueueError, JobNotFound, RecordUnreadable
from shared.domain.job import RECORD_VERSION, Job, JobState, parse_job
from shared.domain.options import Options
from shared.domain.priority import Priority
from shared.store.aggregation_lock import AggregationLock
from shared.store.blocks import Blocks
from shared.store.enqueuing import Enqueuing
from shared.store.finishing import Finishing
from shared.store.keys import PARTS, REGISTRY, SWEPT, UNFINISHED, job_key
from shared.store.leases import Leases
from shared.store.pair_tiles import PairTiles
from shared.store.redis_client import Client
from shared.store.refusals import Refusals
from shared.store.scripts import run_script
from shared.store.turns import Turns

_REMOVING = "removing"
"""`create`'s answer while a job of this name is being removed."""
_NOT_SWEPT = "not swept"
"""`create`'s answer if the finished job that it replaces still has blocks."""
_LOOKED_AT_ONCE = 1000
"""The maximum number of records read in one round trip."""


class JobRecord(Enqueuing, Leases, Refusals, Blocks, AggregationLock, PairTiles, Turns, Finishing):
    """The record of one job. Each base class is one part of it, in a module of its own."""

    def create(
        self,
        *,
        origin: str,
        source: str,
        contract: Contract,
        options: Options,
        queue_prefix: str,
        runtime: Mapping[str, str] | None = None,
        instead_of: str = "",
        priority: Priority = Priority.NORMAL,
    ) -> tuple[Job, bool]:
        """Creates the job, or loads the existing one of this name. The second value says whether it is new.

        `runtime` is the worker's part of the contract, if it is known already. A finished job with the uid `instead_of`
        is replaced in one step.
        """
        uid = uuid.uuid4().hex
        fields = {
            "version": RECORD_VERSION,
            "state": JobState.ENQUEUING,
            "origin": origin,
            "source": source,
            "contract": json.dumps(contract.as_dict()),
            "options": json.dumps(options.as_dict()),
            "queue_prefix": queue_prefix,
            "priority": priority,
            "batches": 0,
            "images": 0,
            "cursor": json.dumps(None),
            "sends": 0,
        } | ({} if runtime is None else {"runtime": json.dumps(dict(runtime))})
        pairs = [item for pair in fields.items() for item in pair]
        parts = ["", f"={REGISTRY}", f"={UNFINISHED}", *SWEPT, *PARTS]
        while True:
            present = self._run("create", parts, self.name, uid, f"{queue_prefix}:{self.name}", instead_of, *pairs)
            if present == _NOT_SWEPT:
                self._sweep(instead_of)
            elif present == _REMOVING:
                self.complete_removal()
            else:
                return self.load(), present == uid

    def exists(self) -> bool:
        """Whether a record of this name exists, of any version."""
        return bool(self._client.exists(self._key))

    def is_cancelled(self) -> bool:
        """Whether only the mark of a cancelled job is left, or less."""
        return bool(self._client.hget(self._key, "state") == JobState.CANCELLED.encode())

    def queue_prefix(self) -> str:
        """The prefix of the job's queues; also readable from records of another version."""
        return os.fsdecode(self._client.hget(self._key, "queue_prefix") or b"")

    def load(self) -> Job:
        """The job as it is now. Raises JobNotFound or RecordUnreadable."""
        raw = self._client.hgetall(self._key)
        if not raw:
            raise JobNotFound(self.name)
        return parse_job(self.name, raw)


def job_names(client: Client) -> list[str]:
    """The names of all jobs on this server, oldest first."""
    return [name.decode(errors="replace") for name in client.zrange(REGISTRY, 0, -1)]


def list_jobs(client: Client, say: Callable[[str], None] = lambda line: None) -> list[Job]:
    """Every job on this server, oldest first. Names whose record has expired are removed from the registry.

    Records that cannot be read, for example of another version, are left out and reported to `say`.
    """
    return load_jobs(client, job_names(client), say)


def load_jobs(client: Client, names: Sequence[str], say: Callable[[str], None] = lambda line: None) -> list[Job]:
    """The jobs of these names. Names without a record are removed from the registry; unreadable records are reported to
    `say`.
    """
    jobs = []
    for name, found in read_jobs(client, names):
        if isinstance(found, Job):
            jobs.append(found)
        elif found is None:
            run_script(client, "forget", [job_key(name), REGISTRY, UNFINISHED], [name, ""])
        else:
            say(str(found))
    return jobs


def read_jobs(client: Client, names: Sequence[str]) -> Iterator[tuple[str, Job | FaceQueueError | None]]:
    """Each name with its job; None if it has no record, an error if the record cannot be read. Changes nothing."""
    for first in range(0, len(names), _LOOKED_AT_ONCE):
        some = names[first : first + _LOOKED_AT_ONCE]
        with client.pipeline(transaction=False) as pipe:
            for name in some:
                pipe.hgetall(job_key(name))
            records = pipe.execute(raise_on_error=False)
        for name, raw in zip(some, records, strict=True):
            yield name, _job_or_error(name, raw)


def _job_or_error(name: str, raw: Any) -> Job | FaceQueueError | None:
    if isinstance(raw, redis.ResponseError):  # a key of another kind has the name
        return RecordUnreadable(name, str(raw))
    if not raw:
        return None
    try:
        return parse_job(name, raw)
    except FaceQueueError as error:
        return error
