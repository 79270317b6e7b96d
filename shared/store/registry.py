"""The registry of all jobs on a server, the index of unfinished ones, and its repair.

Entries of the index are `<queue prefix>:<job>`. All have the score 0, so the server sorts them by name and any range of
them can be read.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from shared.domain.job import JobState
from shared.domain.job_names import is_job_name
from shared.domain.priority import Priority
from shared.domain.queues import aggregate_queue, embed_queue, own_queue
from shared.store.keys import DIVERTED, REGISTRY, UNFINISHED, clock_key, job_key, job_key_of, processes_key, turns_key
from shared.store.redis_client import Client
from shared.store.scripts import run_script

_AT_ONCE = 250
"""The maximum number of jobs that one script reads: the server answers nobody meanwhile."""


@dataclass(frozen=True)
class Census:
    """How many jobs there are."""

    by_state: dict[JobState, int]
    in_flight: int
    """Batches that are leased."""
    prefixes: list[str]
    """The queue prefixes of unfinished jobs."""


def unfinished_names(client: Client, queue_prefix: str, after: str | None, most: int) -> tuple[list[str], str | None]:
    """Up to `most` names of unfinished jobs of these queues, in order, starting after the entry `after` (None: at the
    start).

    The second value is the next call's `after`; None at the end.
    """
    begin = b"(" + os.fsencode(after) if after is not None else f"[{queue_prefix}:"
    found = client.zrangebylex(UNFINISHED, begin, f"({queue_prefix};", 0, most)  # ';' follows ':'
    entries = [entry.decode(errors="replace").rpartition(":") for entry in found]
    # Another prefix that contains a colon may sort between them.
    names = [name for prefix, _, name in entries if prefix == queue_prefix and is_job_name(name)]
    return names, os.fsdecode(found[-1]) if len(found) == most else None


def forget_missing(client: Client, queue_prefix: str, name: str) -> None:
    """Removes a job without a record from the registry and the index."""
    keys = [job_key(name), REGISTRY, UNFINISHED]
    run_script(client, "forget", keys, [name, f"{queue_prefix}:{name}"])


def drop_idle_queues(client: Client, queue_prefix: str) -> bool:
    """Removes the shared queues of this prefix, with the messages and turns left in them. False while one of its jobs
    is unfinished.
    """
    queues = [embed_queue(queue_prefix), aggregate_queue(queue_prefix)]
    turns = [turns_key(queue, priority) for queue in queues for priority in Priority]
    keys = [UNFINISHED, *queues, *map(clock_key, queues), *map(processes_key, queues), *turns]
    return bool(run_script(client, "drop_queues", keys, [queue_prefix]))


def tidy(client: Client, names: Sequence[str]) -> list[str]:
    """Makes the index agree with the records of these names, and removes names whose record has expired.

    Returns the names of jobs whose removal or finishing was interrupted.
    """
    keys = [REGISTRY, UNFINISHED, *(job_key(name) for name in names)]
    return [name.decode() for name in run_script(client, "tidy", keys, names)] if names else []


def enter_all_jobs(client: Client) -> None:
    """Enters all jobs of the server whose names are lost, and the queues of those that are diverted. Takes time in
    proportion to the server's keys.
    """
    first = job_key("")
    names = (os.fsdecode(key).removeprefix(first) for key in client.scan_iter(f"{first}*", _AT_ONCE, "hash"))
    jobs = filter(is_job_name, names)  # the other keys are parts of records
    while some := list(islice(jobs, _AT_ONCE)):
        with client.pipeline(transaction=False) as pipe:
            for name in some:
                pipe.hmget(job_key(name), "created_ms", "uid", "diverted", "queue_prefix")
            found = pipe.execute()
        times, queues = {}, {}
        for name, (created, uid, diverted, prefix) in zip(some, found, strict=True):
            if created is not None and created.isdigit():
                times[name] = int(created)
            if uid is not None and uid == diverted:
                queues[own_queue(os.fsdecode(prefix or b""), os.fsdecode(uid))] = name
        if times:
            client.zadd(REGISTRY, times, nx=True)
        if queues:
            client.hset(DIVERTED, mapping=queues)


def some_names(client: Client, first: int) -> tuple[list[str], int]:
    """Some names of the registry from index `first` on, and the index to continue at; 0 at the end."""
    found = client.zrange(REGISTRY, first, first + _AT_ONCE - 1)
    return _job_names(found), first + _AT_ONCE if len(found) == _AT_ONCE else 0


def newest_names(client: Client, first: int, most: int) -> tuple[list[str], int]:
    """Up to `most` names of jobs, newest first, without the `first` newest ones; and the number of all jobs."""
    with client.pipeline(transaction=False) as pipe:
        pipe.zrange(REGISTRY, first, first + most - 1, desc=True)
        pipe.zcard(REGISTRY)
        found, total = pipe.execute()
    return _job_names(found), int(total)


def some_unfinished(client: Client, most: int) -> tuple[list[str], int]:
    """The names of up to `most` unfinished jobs, of any queues, and the number of all unfinished jobs."""
    with client.pipeline(transaction=False) as pipe:
        pipe.zrange(UNFINISHED, 0, most - 1)
        pipe.zcard(UNFINISHED)
        found, total = pipe.execute()
    return _job_names(entry.rpartition(b":")[2] for entry in found), int(total)


def some_prefixes(client: Client, most: int) -> list[str]:
    """Up to `most` queue prefixes of unfinished jobs, in order, however many jobs there are.

    A prefix that continues another one after a colon may be left out.
    """
    prefixes: list[str] = []
    after = b"-"
    while len(prefixes) < most and (entries := client.zrangebylex(UNFINISHED, after, "+", 0, 1)):
        prefix = entries[0].rpartition(b":")[0]
        prefixes.append(prefix.decode("utf-8", "replace"))
        after = b"(" + prefix + b";"  # ';' follows ':'
    return prefixes


def _job_names(found: Iterable[bytes]) -> list[str]:
    names = [name.decode(errors="replace") for name in found]
    return [name for name in names if is_job_name(name)]


def count_jobs(client: Client) -> Census:
    """Counts all jobs on this server. Jobs that are created or end meanwhile may be missed.

    Only the records of unfinished jobs are read. All others count as finished, including those that are being removed
    and those whose record has expired but whose name `tidy` has not removed yet.
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
