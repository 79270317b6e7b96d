"""The producer's side of a job's record: its lease, and the batches that it adds."""

import json
import os
import uuid

from shared.domain.errors import JobGone, NotFinished, ProducerReplaced
from shared.domain.paths import RootPath, pack_paths
from shared.store.record_part import RecordPart


class Enqueuing(RecordPart):
    """A producer holds a token. Whoever attaches later fences it off."""

    def attach_producer(self, uid: str, lease_s: float = 0.0) -> str:
        """Makes the caller the only producer of this job; returns the token that its calls need.

        For `lease_s` it is believed to be alive, and for as long again with every `heartbeat`. One that is attached
        already is fenced off: its next call is refused.
        """
        token = uuid.uuid4().hex
        self._run("attach", [""], uid, token, int(lease_s * 1000), 1)
        return token

    def attach_alone(self, uid: str, lease_s: float) -> str | int:
        """As `attach_producer`, but for a producer that is alive: then until when (server time, ms) that is
        believed.
        """
        token = uuid.uuid4().hex
        answer = self._run("attach", [""], uid, token, int(lease_s * 1000), 0)
        return answer if isinstance(answer, int) else token

    def heartbeat(self, uid: str, producer: str, lease_s: float) -> bool:
        """Says that the producer lives; 0 s: that it leaves. False where it is not wanted any more."""
        return bool(self._run("heartbeat", [""], uid, producer, int(lease_s * 1000)))

    def go_on(self, uid: str) -> None:
        """Says that somebody wants this job: its time begins anew, and results that failed are tried again."""
        self._run("go_on", [""], uid)

    def add_batch(self, uid: str, producer: str, batch: int, paths: list[RootPath]) -> int:
        """Records a batch and returns its send number."""
        args = (uid, producer, batch, pack_paths(paths), len(paths), json.dumps(paths[-1]))
        answer = self._run("add_batch", ["", "batches", "open"], *args)
        if isinstance(answer, int):
            return answer
        raise self._refusal(answer)

    def put_image(self, uid: str, producer: str, batch: int, path: RootPath, packed: bytes) -> None:
        """Stores what is at the path of a batch's image, for workers that cannot look themselves."""
        parts = ["", f"bytes:{batch}", "inline"]
        answer = self._run("inline_put", parts, uid, producer, batch, os.fsencode(path), packed)
        if answer != "stored":
            raise self._refusal(answer)

    def inline_bytes(self) -> int:
        """Of the images that are on the server."""
        return int(self._client.hget(self._key, "inline_bytes") or 0)

    def inline_key(self, batch: int) -> str:
        """Where the images of a batch are on the server: a hash by path."""
        return self._part(f"bytes:{batch}")

    def seal(self, uid: str, producer: str) -> bool:
        """Says that no batch will follow. True where all batches are done already."""
        answer = self._run("seal", ["", "open"], uid, producer)
        if answer not in ("sealed", "complete"):
            raise self._refusal(answer)
        return bool(answer == "complete")

    def open_batches(self) -> int:
        """How many recorded batches are not done."""
        return int(self._client.zcard(self._part("open")))

    def block_bytes(self) -> int:
        """Of the finished blocks that are on the server."""
        return int(self._client.hget(self._key, "block_bytes") or 0)

    def _refusal(self, answer: str) -> NotFinished:
        if answer == "fenced":
            return ProducerReplaced(self.name)
        if answer == "cancelled":
            return JobGone(f"Job '{self.name}' was cancelled.")
        return JobGone(f"Job '{self.name}' takes no more images ({answer}).")
