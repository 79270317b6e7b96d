"""Diverted jobs: jobs that at least one worker cannot serve.

The messages of such a job wait in a queue of the job's own. Only workers that have not refused the job consume that
queue, so the job costs the others nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.domain.job_names import is_job_name
from shared.domain.queues import is_own_queue
from shared.store.keys import DIVERTED
from shared.store.redis_client import Client


@dataclass(frozen=True)
class Refusal:
    """A worker's note that it cannot serve a job."""

    reason: str
    again_ms: int
    """When the worker may try again, in ms of the server's clock; 0: never."""

    def holds(self, now_ms: int, longest_ms: int) -> bool:
        """Whether the refusal is still in force.

        A refusal that ends later than any can is from before the server's clock was set back, and is over. The longest
        refusal of the job took `longest_ms`.
        """
        return self.again_ms == 0 or now_ms < self.again_ms <= now_ms + 2 * longest_ms


def parse_refusals(raw: Mapping[bytes, bytes]) -> dict[str, Refusal]:
    """The refusals in the job record's hash, by worker."""
    found = {}
    for worker, note in raw.items():
        again, _, reason = note.decode(errors="replace").partition(" ")
        if again.isdecimal():
            found[worker.decode(errors="replace")] = Refusal(reason, int(again))
    return found


def diverted_queues(client: Client, queue_prefix: str) -> dict[str, str]:
    """The diverted jobs of one installation by queue, including ended jobs whose queues still hold messages."""
    found = {
        queue.decode(errors="replace"): job.decode(errors="replace") for queue, job in client.hgetall(DIVERTED).items()
    }
    return {queue: job for queue, job in found.items() if is_own_queue(queue_prefix, queue) and is_job_name(job)}


def all_diverted_queues(client: Client) -> list[str]:
    """The queues of all diverted jobs on this server, of any installation."""
    return sorted(queue.decode(errors="replace") for queue in client.hkeys(DIVERTED))
