"""Whose batch goes into a queue next, among the jobs that have batches waiting.

A queue holds few messages; all other batches wait in the job records. Each job has had a certain amount of its queue's
service, counted in images, and the job that has had least is next. A job that joins starts with what the next one has
had. The same rule applies to the priorities, whose time runs at different speeds (`_COST`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

import redis

from shared.domain.job import Job
from shared.domain.job_names import is_job_name
from shared.domain.priority import Priority
from shared.store.foreign_keys import despite_foreign_turns
from shared.store.keys import clock_key, job_key, processes_key, turns_key
from shared.store.leases import Requeued, requeued
from shared.store.record_part import RecordPart
from shared.store.redis_client import Client, run_despite_oom
from shared.store.scripts import run_script

_COST = {Priority.HIGH: 3, Priority.NORMAL: 25, Priority.LOW: 300}
"""What an image counts on the clock of its priority. Normal jobs beside high and low ones get a tenth."""
_FEWEST = 4
"""So many messages are enough in a queue without known workers."""
_LOOKED_AT_ONCE = 1000
_WAITING = ("-inf", "(0")
"""The scores in `open` of batches that wait for their turn."""


@dataclass(frozen=True)
class Turn:
    """The job whose batch is next."""

    job: str
    priority: Priority
    lacking: int
    """How many messages the queue lacks."""


@dataclass(frozen=True)
class Dispatched:
    """A batch whose turn it is."""

    uid: str
    batch: int
    sent: Requeued
    stage: str
    """Names the folder of a tile."""
    diverted: bool
    """Whether its message belongs in the job's own queue."""


class Turns(RecordPart):
    """The turns of a job."""

    def queue_up(self, uid: str, queue: str) -> bool:
        """Gives the job its turn in this queue; False if it has it already, or has no batch waiting for
        this queue.
        """
        keys = ["", "open", f"={clock_key(queue)}", *(f"={turns_key(queue, priority)}" for priority in Priority)]
        queue_up = partial(self._run, "queue_up", keys, uid, self.name, queue, *Priority)
        return bool(despite_foreign_turns(self._client, [queue], queue_up))

    def dispatch(self, queue: str, priority: Priority, *, despite_oom: bool = False) -> Dispatched | None:
        """Gives the next waiting batch a send number; None if the job has no turn any more.

        The message is to be sent now. If it never is, the batch counts as lost and is requeued.
        """
        keys = ["", "open", "batches", f"={turns_key(queue, priority)}", f"={clock_key(queue)}"]
        dispatch = partial(self._run, "dispatch", keys, self.name, priority, _COST[priority], int(despite_oom), queue)
        answer = despite_foreign_turns(self._client, [queue], dispatch)
        if not answer:
            return None
        uid, batch, send, images, stage, diverted = answer
        return Dispatched(uid.decode(), int(batch), requeued(send, images), stage.decode(), uid == diverted)

    def prioritize(self, uid: str, priority: Priority, queues: Collection[str]) -> str:
        """Changes the job's priority. Returns `changed`, `same`, or the state of a job that has ended.

        It loses its turn in these queues until `queue_up`.
        """
        keys = ["", *(f"={turns_key(queue, each)}" for queue in queues for each in Priority)]
        prioritize = partial(self._run, "prioritize", keys, uid, self.name, priority)
        return str(despite_foreign_turns(self._client, queues, prioritize))


def next_turn(client: Client, queue: str) -> Turn | None:
    """The job whose batch goes into the queue next; None if enough messages are there, or no batch waits."""
    keys = [queue, processes_key(queue), clock_key(queue), *(turns_key(queue, priority) for priority in Priority)]
    answer = despite_foreign_turns(client, [queue], lambda: run_script(client, "next_turn", keys, [_FEWEST, *Priority]))
    if not answer:
        return None
    lacking, place, raw = answer
    return Turn(raw.decode(errors="replace"), list(Priority)[place], lacking)


def lose_turn(client: Client, queue: str, turn: Turn) -> None:
    """Removes a turn that cannot be used: of no job, or of a damaged one."""
    if is_job_name(turn.job):
        client.zrem(turns_key(queue, turn.priority), turn.job)
    else:
        client.zremrangebyrank(turns_key(queue, turn.priority), 0, 0)  # its name may not be valid text


def note_processes(client: Client, queue: str, processes: int) -> None:
    """Records how many worker processes serve a queue: so many messages are enough in it. Valid for an hour."""
    run_despite_oom(client, "SET", processes_key(queue), processes, "EX", 3600)


def without_turn(client: Client, jobs: Sequence[Job]) -> list[Job]:
    """Those of some unfinished jobs that have batches waiting and no turn: their producer died, for example."""
    with client.pipeline(transaction=False) as pipe:
        for job in jobs:
            pipe.zcount(job_key(job.name, "open"), *_WAITING)
            pipe.zscore(turns_key(job.turns_queue, job.priority), job.name)
        found = pipe.execute(raise_on_error=False)
    # A key of another type is a problem of its job, which is reported elsewhere.
    return [
        job
        for job, waiting, turn in zip(jobs, found[::2], found[1::2], strict=True)
        if isinstance(waiting, int) and waiting and turn is None
    ]


def count_waiting(client: Client, queue: str) -> dict[Priority, int]:
    """The number of batches that wait for their turn, by priority."""
    return {priority: _count(client, turns_key(queue, priority)) for priority in Priority}


def _count(client: Client, turns: str) -> int:
    waiting = 0
    try:
        names = [name.decode(errors="replace") for name in client.zrange(turns, 0, -1)]
    except redis.ResponseError:  # of another type: whoever fills the queue sets it aside
        return 0
    for first in range(0, len(names), _LOOKED_AT_ONCE):
        with client.pipeline(transaction=False) as pipe:
            for name in names[first : first + _LOOKED_AT_ONCE]:
                pipe.zcount(job_key(name, "open"), *_WAITING)
            found = pipe.execute(raise_on_error=False)
        waiting += sum(one for one in found if not isinstance(one, redis.ResponseError))
    return waiting
