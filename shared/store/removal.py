"""Removes a job with many short scripts. If a process dies in between, the next one to touch the job completes the
removal.
"""

import re
from enum import StrEnum
from typing import Any

from shared.domain.job import RECORD_VERSION, Job, JobState
from shared.store.keys import PARTS, REGISTRY, SWEPT, UNFINISHED
from shared.store.record_part import RecordPart

_SWEPT_AT_ONCE = 128
"""The maximum number of batches that one script removes: the server answers nobody meanwhile."""
_SECONDS = re.compile(rb"\d{1,9}")
"""The maximum time to live that the server accepts; any other value in a record is damage."""


class _Deletion(StrEnum):
    """The answers of `end_delete`. Any other answer means that another job has the name."""

    DELETED = "deleted"
    NOT_SWEPT = "not swept"
    """Blocks or images are left."""


class Removal(RecordPart):
    """Removes a job record, or what a finished job no longer needs."""

    def close(self, uid: str | bytes, ttl_s: int) -> None:
        """Removes the blocks of a finished job and sets its record to expire. Completes an interrupted call."""
        self._sweep(uid)
        self._run("close", ["", "failed", f"={UNFINISHED}", *SWEPT], uid, self.name, ttl_s)

    def delete(self, only: Job | None = None, *, keep_mark_s: int = 0) -> bool:
        """Removes every key of the job. With `keep_mark_s`, the state `cancelled` stays that long for commands that
        watch the job.

        With `only`, removes the job only if it is unchanged since it was read; False if it was reopened or made
        progress. If the removal is interrupted, the reconciler completes it, or the next command that creates or
        removes a job of this name.
        """
        if only is None:
            return self._delete(keep_mark_s, "", "", "")
        return self._delete(keep_mark_s, only.uid, only.state, only.updated_ms if only.unfinished else "")

    def complete_removal(self) -> bool:
        """Removes what an interrupted removal has left, and nothing of any other job."""
        uid, keep_s = self._client.hmget(self._key, "uid", "keep_s")
        seconds = int(keep_s) if _SECONDS.fullmatch(keep_s or b"") else 0
        return self._delete(seconds, uid or b"", JobState.CANCELLED, "")

    def complete(self, ttl_s: int) -> None:
        """Completes an interrupted removal or finishing."""
        uid, state = self._client.hmget(self._key, "uid", "state")
        if state == JobState.FINISHED.encode():
            self.close(uid or b"", ttl_s)
        else:
            self.complete_removal()

    def _delete(self, keep_mark_s: int, *expected: Any) -> bool:
        everywhere = f"={REGISTRY}"
        version, batches = self._client.hmget(self._key, "version", "batches")
        marked, uid = self._run(
            "begin_delete", ["", everywhere, f"={UNFINISHED}", *PARTS], self.name, keep_mark_s, *expected
        )
        if not marked:
            return False
        if version != RECORD_VERSION.encode():  # such a record may not list its blocks and images
            self._sweep_range(uid, int(batches) if (batches or b"").isdigit() else 0)
        answer: str = _Deletion.NOT_SWEPT
        while answer == _Deletion.NOT_SWEPT:
            self._sweep(uid)
            answer = self._run("end_delete", ["", everywhere, *SWEPT], self.name, uid)
        return bool(answer == _Deletion.DELETED)

    def _sweep_range(self, uid: bytes, batches: int) -> None:
        for first in range(0, batches + 1, _SWEPT_AT_ONCE):
            some = range(first, min(batches + 1, first + _SWEPT_AT_ONCE))
            parts = [f"{kind}:{batch}" for kind in ("block", "bytes") for batch in some]
            self._run("sweep", ["", *SWEPT, *parts], uid, *some)

    def _sweep(self, uid: str | bytes) -> None:
        """Removes the blocks and inline images of a finished or cancelled job, some batches at a time."""
        # No more are added. Most jobs have no inline images; then only blocks are removed.
        kinds = ("block", "bytes") if self._client.exists(self._part("inline")) else ("block",)
        while batches := self._batches_kept():
            parts = [f"{kind}:{batch}" for kind in kinds for batch in batches]
            if not self._run("sweep", ["", *SWEPT, *parts], uid, *batches):
                return

    def _batches_kept(self) -> list[str]:
        """Some batches whose blocks or inline images are on the server."""
        found = self._client.zrange(self._part("stored"), 0, _SWEPT_AT_ONCE - 1)
        found = found or self._client.hrandfield(self._part("inline"), _SWEPT_AT_ONCE)
        return [batch.decode() for batch in found or ()]
