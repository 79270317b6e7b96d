"""All jobs of a server together: the index of unfinished ones, its repair, and how many jobs there are.

Entries of the index are `<queue prefix>:<job>`, all with the score 0: so the server sorts them by name, and any part of
them can be read.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.domain.job import JobState
from shared.domain.job_names import is_job_name
from shared.domain.queues import aggregate_queue, embed_queue
from shared.store.keys import REGISTRY, UNFINISHED, job_key, job_key_of
from shared.store.redis_client import Client
from shared.store.scripts import run_script

_AT_ONCE = 250
"""Most jobs that one script looks at: the server answers nobody meanwhile."""


@dataclass(frozen=True)
class Census:
    """How many jobs there are."""

    by_state: dict[JobState, int]
    in_flight: int
    """Batches in the hands of workers."""
    prefixes: list[str]
    """Of the queues of unfinished jobs."""


def unfinished_names(client: Client, queue_prefix: str, after: str | None, most: int) -> tuple[list[str], str | None]:
    """The names of some unfinished jobs of these queues, in order, and where to go on (`after`; None: at either
    end).
    """
    begin = b"(" + os.fsencode(after) if after is not None else f"[{queue_prefix}:"
    found = client.zrangebylex(UNFINISHED, begin, f"({queue_prefix};", 0, most)  # ';' follows ':'
    entries = [entry.decode(errors="replace").rpartition(":") for entry in found]
    # A prefix with a colon in it sorts in between, and is none of ours.
    names = [name for prefix, _, name in entries if prefix == queue_prefix and is_job_name(name)]
    return names, os.fsdecode(found[-1]) if len(found) == most else None


def forget_missing(client: Client, queue_prefix: str, name: str) -> None:
    """Takes a job without a record out of registry and index."""
    keys = [job_key(name), REGISTRY, UNFINISHED]
    run_script(client, "forget", keys, [name, f"{queue_prefix}:{name}"])


def drop_idle_queues(client: Client, queue_prefix: str) -> bool:
    """Removes the shared queues of this prefix, with what is left in them; False while a job of it is unfinished."""
    keys = [UNFINISHED, embed_queue(queue_prefix), aggregate_queue(queue_prefix)]
    return bool(run_script(client, "drop_queues", keys, [queue_prefix]))


def tidy(client: Client, names: Sequence[str]) -> list[str]:
    """Makes the index agree with the records of these names, and forgets names whose record has expired.

    Returns those whose removal or finishing was cut short.
    """
    keys = [REGISTRY, UNFINISHED, *(job_key(name) for name in names)]
    return [name.decode() for name in run_script(client, "tidy", keys, names)] if names else []


def some_names(client: Client, first: int) -> tuple[list[str], int]:
    """Some names of the registry, from this place on, and the place to go on at; 0 at the end."""
    found = [name.decode(errors="replace") for name in client.zrange(REGISTRY, first, first + _AT_ONCE - 1)]
    return [name for name in found if is_job_name(name)], first + _AT_ONCE if len(found) == _AT_ONCE else 0


def count_jobs(client: Client) -> Census:
    """Counts all jobs on this server. Those that are made or end meanwhile may be missed.

    Only the records of unfinished jobs are read. All others count as finished: also those that are being removed, and
    those whose record has expired and whose name `tidy` has not forgotten yet.
    """
    known, enqueuing, sealed, in_flight = client.zcard(REGISTRY), 0, 0, 0
    prefixes: set[str] = set()
    for entries in _stretches_of_index(client):
        parts = [entry.rpartition(b":") for entry in entries]
        jobs = [job_key_of(name) for _, _, name in parts]
        some_enqueuing, some_sealed, *begun = run_script(client, "count_jobs", jobs, [])
        enqueuing += some_enqueuing
        sealed += some_sealed
        if begun:
            leases = [job_key_of(parts[place][2], b"leases") for place in begun]
            in_flight += run_script(client, "count_leases", leases, [])
        prefixes.update(prefix.decode("utf-8", "replace") for prefix, _, _ in parts)
    finished = max(0, known - enqueuing - sealed)
    by_state = {JobState.ENQUEUING: enqueuing, JobState.SEALED: sealed, JobState.FINISHED: finished}
    return Census(by_state, in_flight, sorted(prefixes))


def _stretches_of_index(client: Client) -> Iterator[list[bytes]]:
    after = b"-"
    while entries := client.zrangebylex(UNFINISHED, after, "+", 0, _AT_ONCE):
        yield entries
        after = b"(" + entries[-1]
