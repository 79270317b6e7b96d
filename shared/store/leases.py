"""The worker's side of a job record: leases of batches, crashed processes, and committed blocks.

A batch is done when it is removed from `open`. A batch in `open` is not done, however many messages were lost. Its
score is its send number, or negative while it waits for its turn (`shared.store.turns`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shared.domain.contract import Runtime
from shared.domain.job import JobState
from shared.domain.outcomes import Verdict
from shared.domain.paths import RootPath
from shared.domain.stretch import Stretch, unpack_images
from shared.domain.text import parse_json
from shared.store.keys import METRICS
from shared.store.record_part import RecordPart

LOSSES_TOGETHER = 2
"""After this many crashes with a batch, its images run in isolation."""
DEATHS_ALONE = 3
"""An image that crashes this many processes while it runs in isolation is given up."""
_LOOKED_AT_ONCE = 1000
"""The maximum number of batches that one script reads: the server answers nobody meanwhile."""


@dataclass(frozen=True)
class Lease:
    """A batch leased to one worker process."""

    attempt: int
    losses: int
    """The number of processes that crashed with this batch while their worker survived."""


@dataclass(frozen=True)
class Requeued:
    """A batch whose message is to be sent."""

    send: int
    """Its new send number."""
    images: list[RootPath] = field(default_factory=list)
    """Empty if it is a tile of the pair matrix."""
    stretch: Stretch | None = None


class NotLeased(StrEnum):
    """Why a batch is not leased."""

    UNKNOWN = "unknown"
    """The job does not exist, or its name now belongs to another job."""
    CANCELLED = "cancelled"
    DONE = "done"
    SENT_AGAIN = "sent again"
    """The batch was requeued: only its later message counts."""
    LEASED = "leased"
    """Another process holds the lease."""


class Committed(StrEnum):
    """The answer to `commit`."""

    STORED = "stored"
    LAST = "last"
    """Stored; every batch of the sealed job is now done."""
    DONE = "done"
    """Another process committed the batch first."""
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


class Leases(RecordPart):
    """The leases of a job's batches."""

    def agree_on_runtime(self, uid: str, runtime: Runtime) -> dict[str, str]:
        """Sets the worker's part of the contract if it is unset, and returns the one in force. Empty if the job is
        gone.
        """
        raw = self._run("agree", [""], uid, json.dumps(runtime.as_dict()))
        agreed: dict[str, str] = parse_json(raw) if raw else {}
        return agreed

    def take(
        self, uid: str, batch: int, send: int, holder: str, lease_s: float, *, images: int = 1
    ) -> Lease | NotLeased:
        """Leases a batch, or returns why not. `images` is its number of images."""
        parts = ["", "open", "leases", "holders", "attempts", "losses", "alone"]
        answer = self._run("take", parts, uid, batch, send, holder, int(lease_s * 1000), images)
        return Lease(*answer) if isinstance(answer, list) else NotLeased(answer)

    def is_wanted(self, uid: str, batch: int, holder: str) -> bool:
        """Whether the job exists and is not cancelled, and this holder still leases the batch."""
        found, state = self._client.hmget(self._key, "uid", "state")
        mine = self._client.hget(self._part("holders"), str(batch)) == holder.encode()
        return bool(found == uid.encode() and state != JobState.CANCELLED.encode() and mine)

    def waits_for(self, batch: int, send: int) -> bool:
        """Whether the batch is not done and this is its latest send number."""
        return bool(self._client.zscore(self._part("open"), str(batch)) == send)

    def note_alone(self, batch: int, holder: str, index: int | None) -> None:
        """Records which image of a batch runs in isolation next; None: no image does any more."""
        self._run("alone", ["holders", "alone"], batch, holder, "" if index is None else index)

    def lose(self, uid: str, batch: int, holder: str, verdict: Verdict) -> Requeued | None:
        """Counts a crash with this batch whose worker survived, and gives the batch a new send number.

        An image that has crashed `DEATHS_ALONE` processes in isolation gets the verdict: its outcome and the reason.
        Returns the send number and the batch's images; None if the holder no longer had the lease.
        """
        parts = ["", "open", "leases", "holders", "batches", "losses", "alone", "deaths", "verdicts"]
        answer = self._run("lose", parts, uid, batch, holder, verdict.pack(), DEATHS_ALONE)
        return _requeued(answer)

    def verdicts(self, batch: int, images: int) -> dict[int, Verdict]:
        """The recorded outcomes of images that were given up, by their index in the batch."""
        found = self._client.hmget(self._part("verdicts"), [f"{batch}:{index}" for index in range(images)])
        return {
            index: Verdict.unpack(packed.decode(errors="replace"))
            for index, packed in enumerate(found)
            if packed is not None
        }

    def renew(self, batch: int, holder: str, lease_s: float) -> bool:
        """Renews a lease; False if it was lost."""
        return bool(self._run("renew", ["leases", "holders"], batch, holder, int(lease_s * 1000)))

    def give_back(self, batch: int, holder: str) -> bool:
        """Ends a lease early; False if it was already lost."""
        return bool(self._run("release", ["leases", "holders"], batch, holder))

    def commit(
        self, uid: str, batch: int, block: bytes, outcomes: dict[str, int], faces: int, totals: Mapping[str, int] = {}
    ) -> Committed:
        """Stores a block once, unless it is not wanted any more. `totals` is added to the totals over all jobs."""
        parts = [
            "",
            "open",
            "leases",
            "holders",
            "batches",
            "attempts",
            f"block:{batch}",
            "stored",
            "losses",
            f"bytes:{batch}",
            "inline",
            f"={METRICS}",
        ]
        counters: list[Any] = ["images_done", sum(outcomes.values()), "faces", faces]
        for outcome, amount in outcomes.items():
            counters += [f"outcome:{outcome}", amount]
        added = [item for pair in totals.items() for item in pair]
        return Committed(self._run("commit", parts, uid, batch, block, len(counters), *counters, *added))

    def find_unleased(self) -> dict[int, str]:
        """The send numbers of the batches that were sent, and are neither done nor leased: their messages wait in the
        queue, or are lost.
        """
        unleased: dict[int, str] = {}
        after = b"0"
        while after:
            after, *found = self._run("unleased", ["open", "leases", ""], after, _LOOKED_AT_ONCE)
            unleased |= {int(batch): send.decode() for batch, send in zip(found[::2], found[1::2], strict=True)}
        return unleased

    def resend(self, uid: str, batch: int, send: str) -> Requeued | None:
        """Gives a lost batch a new send number; None if it is no longer lost."""
        answer = self._run("resend", ["", "open", "leases", "holders", "batches"], uid, batch, send)
        return _requeued(answer)


def _requeued(answer: Any) -> Requeued | None:
    """The answer of `lose` and `resend`."""
    return requeued(*answer) if answer else None


def requeued(send: int, images: bytes | None) -> Requeued:
    """A batch as scripts answer it. A tile has no images."""
    return Requeued(send) if images is None else Requeued(send, *unpack_images(images))
