"""The workers that cannot serve a job, and the queue of its messages (`shared.store.diversion`)."""

import os
from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from shared.domain.paths import printable
from shared.domain.queues import embed_queue, own_queue
from shared.store.diversion import parse_refusals
from shared.store.keys import DIVERTED
from shared.store.record_part import RecordPart
from shared.store.redis_client import server_time_ms


class Diverted(StrEnum):
    """The answer to `divert`."""

    DIVERTED = "diverted"
    ALONE = "alone"
    """No other worker can serve the job either; nothing was changed."""
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    FINISHED = "finished"


class Diverting(Protocol):
    """What is known of a job that is diverted: a `Job`, or what can be said of one whose record cannot be read."""

    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def queue_prefix(self) -> str: ...


class Refusals(RecordPart):
    """The refusals of a job."""

    def divert(
        self,
        job: Diverting,
        batch: int,
        holder: str,
        worker: str,
        reason: str,
        *,
        again_s: float = 0,
        unless_alone: bool = False,
        others: Sequence[str] = (),
    ) -> Diverted:
        """Ends the lease and records that this worker cannot serve the job, for `again_s` or (0) forever.

        From then on the job's messages belong in `own_queue`. Returns `diverted`, or why nothing was changed: `alone`
        (only with `unless_alone`) if none of `others` can serve the job, or `unknown`, `cancelled`, `finished`.
        """
        parts = ["", "leases", "holders", "refusals", f"={DIVERTED}"]
        queue = own_queue(job.queue_prefix, job.uid)
        answer = self._run(
            "divert",
            parts,
            job.uid,
            batch,
            holder,
            worker,
            reason,
            int(again_s * 1000),
            job.name,
            queue,
            int(unless_alone),
            *others,
        )
        return Diverted(answer)

    def refusals(self) -> dict[str, str]:
        """The reason of each worker that has refused this job, including workers that may try again or are gone."""
        found = parse_refusals(self._client.hgetall(self._part("refusals")))
        return {worker: printable(refusal.reason) for worker, refusal in found.items()}

    def refusal_of(self, worker: str) -> str | None:
        """Why this worker refuses the job now; None if it does not."""
        with self._client.pipeline() as pipe:
            note, longest = pipe.hget(self._part("refusals"), worker).hget(self._key, "refusal_ms").execute()
        refusal = parse_refusals({b"": note}).get("") if note is not None else None
        longest_ms = int(longest) if (longest or b"").isdigit() else 0
        return refusal.reason if refusal and refusal.holds(server_time_ms(self._client), longest_ms) else None

    def forget_refusal(self, worker: str) -> None:
        """Removes the worker's refusal."""
        self._client.hdel(self._part("refusals"), worker)

    def embed_queue(self) -> str:
        """The queue of the job's batches; also for a record that cannot be read."""
        prefix, uid, diverted = self._client.hmget(self._key, "queue_prefix", "uid", "diverted")
        prefix = os.fsdecode(prefix or b"")
        return own_queue(prefix, os.fsdecode(uid)) if uid and uid == diverted else embed_queue(prefix)

    def undivert(self, queue: str) -> bool:
        """Removes the job's own queue with the messages left in it; False while the job is unfinished."""
        return bool(self._run("undivert", ["", f"={DIVERTED}", f"={queue}"], self.name, queue))
