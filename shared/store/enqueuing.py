"""The producer's side of a job record: the producer's lease, and the batches that it adds."""

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.domain.errors import JobGone, NotFinished, ProducerReplaced
from shared.domain.job import JobState
from shared.domain.paths import RootPath
from shared.domain.stretch import Images, Stretch, pack_images
from shared.store.record_part import RecordPart

_FENCED = "fenced"
"""The scripts' answer to a producer after another one has taken over."""


class _Sealed(StrEnum):
    """The answer to `seal`."""

    SEALED = "sealed"
    COMPLETE = "complete"
    """All batches are done already."""


@dataclass(frozen=True)
class LivingProducer:
    """A producer whose lease on the job has not expired."""

    until_ms: int
    """When the lease expires, in ms of the server's clock."""


class Enqueuing(RecordPart):
    """Adds batches to a job. Each call needs the token of the producer that attached last."""

    def attach_producer(self, uid: str, lease_s: float = 0.0) -> str:
        """Makes the caller the job's only producer, and returns the token that its calls need.

        The lease lasts `lease_s`, and as long again after every `heartbeat`. The next call of an earlier producer is
        refused.
        """
        token = uuid.uuid4().hex
        self._run("attach", [""], uid, token, int(lease_s * 1000), 1)
        return token

    def attach_alone(self, uid: str, lease_s: float) -> str | LivingProducer:
        """As `attach_producer`, but only if no other producer holds a lease."""
        token = uuid.uuid4().hex
        answer = self._run("attach", [""], uid, token, int(lease_s * 1000), 0)
        return LivingProducer(answer) if isinstance(answer, int) else token

    def heartbeat(self, uid: str, producer: str, lease_s: float) -> bool:
        """Renews the producer's lease; a lease of 0 s ends it. False if the job no longer accepts this producer."""
        return bool(self._run("heartbeat", [""], uid, producer, int(lease_s * 1000)))

    def go_on(self, uid: str) -> None:
        """Restarts the job's stall timer, and allows a failed aggregation, or tiles given up, to be retried."""
        self._run("go_on", ["", "losses"], uid)

    def add_batch(
        self, uid: str, producer: str, batch: int, paths: list[RootPath], stretch: Stretch | None = None
    ) -> None:
        """Records a batch. It waits for its turn (`queue_up`)."""
        args = (uid, producer, batch, pack_images(Images(paths, stretch)), len(paths), json.dumps(paths[-1]))
        answer = self._run("add_batch", ["", "batches", "open"], *args)
        if answer != "added":
            raise self._refusal(answer)

    def add_kept(
        self,
        uid: str,
        producer: str,
        batch: int,
        block: bytes,
        cursor: RootPath,
        outcomes: Mapping[str, int],
        faces: int,
    ) -> None:
        """Records a batch of known images, which is done at once. `block` names them; `cursor` is the last path."""
        images = sum(outcomes.values())
        counters: list[Any] = ["images", images, "images_done", images, "images_known", images, "faces", faces]
        for outcome, amount in outcomes.items():
            counters += [f"outcome:{outcome}", amount]
        parts = ["", f"block:{batch}", "stored"]
        answer = self._run("add_kept", parts, uid, producer, batch, block, json.dumps(cursor), *counters)
        if answer != "stored":
            raise self._refusal(answer)

    def put_image(self, uid: str, producer: str, batch: int, path: RootPath, packed: bytes) -> None:
        """Stores the packed image at this path, for workers that cannot read it from disk."""
        parts = ["", f"bytes:{batch}", "inline"]
        answer = self._run("inline_put", parts, uid, producer, batch, os.fsencode(path), packed)
        if answer != "stored":
            raise self._refusal(answer)

    def inline_bytes(self) -> int:
        """Size of the inline images on the server, in bytes."""
        return int(self._client.hget(self._key, "inline_bytes") or 0)

    def inline_key(self, batch: int) -> str:
        """The key of a batch's inline images: a hash by path."""
        return self._part(f"bytes:{batch}")

    def seal(self, uid: str, producer: str) -> bool:
        """Seals the job: no more batches will be added. Returns whether all batches are already done."""
        answer = self._run("seal", ["", "open"], uid, producer)
        if answer not in set(_Sealed):
            raise self._refusal(answer)
        return bool(answer == _Sealed.COMPLETE)

    def open_batches(self) -> int:
        """The number of batches that are not done."""
        return int(self._client.zcard(self._part("open")))

    def block_bytes(self) -> int:
        """Size of the finished blocks on the server, in bytes."""
        return int(self._client.hget(self._key, "block_bytes") or 0)

    def _refusal(self, answer: str) -> NotFinished:
        if answer == _FENCED:
            return ProducerReplaced(self.name)
        if answer == JobState.CANCELLED:
            return JobGone(f"Job '{self.name}' was cancelled.")
        return JobGone(f"Job '{self.name}' takes no more images ({answer}).")
