"""The worker's side of a job's record: leases of batches, the processes that were lost with them, and the blocks they
leave.

Batches are done by being removed from `open`. Whatever stays in it is not done, however many messages were lost.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.domain.contract import Runtime
from shared.domain.paths import RootPath, unpack_paths
from shared.domain.text import parse_json
from shared.store.keys import METRICS
from shared.store.record_part import RecordPart

LOSSES_TOGETHER = 2
"""After so many lost processes a batch's images run one by one."""
DEATHS_ALONE = 3
"""An image that loses so many processes while it runs alone is given up."""
_LOOKED_AT_ONCE = 1000
"""Most batches that one script looks at: the server answers nobody meanwhile."""


@dataclass(frozen=True)
class Lease:
    """A batch in the hands of one worker process."""

    attempt: int
    losses: int
    """Processes that were lost with this batch while their worker lived on."""


class NotLeased(StrEnum):
    """Why a worker does not get a batch."""

    UNKNOWN = "unknown"
    """The job is gone, or another one has its name."""
    CANCELLED = "cancelled"
    DONE = "done"
    SENT_AGAIN = "sent again"
    """A later message of the batch counts."""
    LEASED = "leased"
    """Another process works on it."""


class Committed(StrEnum):
    """What became of a block."""

    STORED = "stored"
    LAST = "last"
    """Stored, and with it every batch of a sealed job is done."""
    DONE = "done"
    """Another process was faster."""
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


class Leases(RecordPart):
    """Who works on which batch."""

    def agree_on_runtime(self, uid: str, runtime: Runtime) -> dict[str, str]:
        """Sets the worker's part of the contract if nobody has, and returns what stands."""
        raw = self._run("agree", [""], uid, json.dumps(runtime.as_dict()))
        agreed: dict[str, str] = parse_json(raw) if raw else {}
        return agreed

    def take(
        self, uid: str, batch: int, send: int, holder: str, lease_s: float, *, images: int = 1
    ) -> Lease | NotLeased:
        """Leases a batch of so many images, or says why not."""
        parts = ["", "open", "leases", "holders", "attempts", "losses", "alone"]
        answer = self._run("take", parts, uid, batch, send, holder, int(lease_s * 1000), images)
        return Lease(*answer) if isinstance(answer, list) else NotLeased(answer)

    def is_wanted(self, uid: str, batch: int, holder: str) -> bool:
        """Whether the job is still there and not cancelled, and the batch still this holder's."""
        found, state = self._client.hmget(self._key, "uid", "state")
        mine = self._client.hget(self._part("holders"), str(batch)) == holder.encode()
        return bool(found == uid.encode() and state != b"cancelled" and mine)

    def waits_for(self, batch: int, send: int) -> bool:
        """Whether a batch is not done, and this its last sending."""
        return bool(self._client.zscore(self._part("open"), str(batch)) == send)

    def note_alone(self, batch: int, holder: str, index: int | None) -> None:
        """Notes which image of a batch is about to run alone; None: none is any more."""
        self._run("alone", ["holders", "alone"], batch, holder, "" if index is None else index)

    def lose(self, uid: str, batch: int, holder: str, verdict: str) -> tuple[int, list[RootPath]] | None:
        """Counts a process that was lost with this batch while its worker lives on.

        An image that lost `DEATHS_ALONE` processes while it ran alone gets the verdict. Returns a new send number and
        the batch's paths; None where the holder had no lease any more.
        """
        parts = ["", "open", "leases", "holders", "batches", "losses", "alone", "deaths", "verdicts"]
        answer = self._run("lose", parts, uid, batch, holder, verdict, DEATHS_ALONE)
        return (int(answer[0]), unpack_paths(answer[1])) if answer else None

    def verdicts(self, batch: int, images: int) -> dict[int, str]:
        """The verdicts on images of a batch, by their place in it."""
        found = self._client.hmget(self._part("verdicts"), [f"{batch}:{index}" for index in range(images)])
        return {index: verdict.decode(errors="replace") for index, verdict in enumerate(found) if verdict is not None}

    def renew(self, batch: int, holder: str, lease_s: float) -> bool:
        """Prolongs a lease; False where it was lost."""
        return bool(self._run("renew", ["leases", "holders"], batch, holder, int(lease_s * 1000)))

    def give_back(self, batch: int, holder: str) -> bool:
        """Ends a lease before its time; False where it was lost already."""
        return bool(self._run("release", ["leases", "holders"], batch, holder))

    def commit(
        self, uid: str, batch: int, block: bytes, outcomes: dict[str, int], faces: int, totals: Mapping[str, int] = {}
    ) -> str:
        """Stores a block once: `stored`, `last`, or `done`, `unknown`, `cancelled` where it was not wanted.

        `totals` is what it adds to those over all jobs.
        """
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
        """Batches that are not done and in nobody's hands, with their send numbers: they wait in the queue, or are
        lost.
        """
        unleased: dict[int, str] = {}
        after = b"-inf"
        while after:
            after, *found = self._run("unleased", ["open", "leases", ""], after, _LOOKED_AT_ONCE)
            unleased |= {int(batch): send.decode() for batch, send in zip(found[::2], found[1::2], strict=True)}
        return unleased

    def resend(self, uid: str, batch: int, send: str) -> tuple[int, list[RootPath]] | None:
        """A new send number and the paths of a lost batch; None where it is not lost any more."""
        answer = self._run("resend", ["", "open", "leases", "holders", "batches"], uid, batch, send)
        return (int(answer[0]), unpack_paths(answer[1])) if answer else None
