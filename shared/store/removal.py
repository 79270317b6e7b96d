"""Removing a job in many short scripts. If a process dies in between, whoever comes next completes it."""

import re
from typing import Any

from shared.domain.job import RECORD_VERSION, Job
from shared.store.keys import PARTS, REGISTRY, SWEPT, UNFINISHED
from shared.store.record_part import RecordPart

_SWEPT_AT_ONCE = 128
"""Most batches that one script removes: the server answers nobody meanwhile."""
_SECONDS = re.compile(rb"\d{1,9}")
"""What the server takes for a time to live; anything else in a record is damage."""


class Removal(RecordPart):
    """The end of a record."""

    def close(self, uid: str | bytes, ttl_s: int) -> None:
        """Removes the blocks of a finished job, and lets its record expire; also where that was cut short before."""
        self._sweep(uid)
        self._run("close", ["", "failed", f"={UNFINISHED}", *SWEPT], uid, self.name, ttl_s)

    def delete(self, only: Job | None = None, *, keep_mark_s: int = 0) -> bool:
        """Removes every key of the job; `keep_mark_s` keeps the word `cancelled` for those who watch.

        With `only`, a job that is still as it was read: False where it was opened again, or had news of its work. A
        removal that is cut short is completed by whoever comes next: the reconciler, or who makes or removes a job of
        this name.
        """
        if only is None:
            return self._delete(keep_mark_s, "", "", "")
        return self._delete(keep_mark_s, only.uid, only.state, only.updated_ms if only.unfinished else "")

    def complete_removal(self) -> bool:
        """Removes what is left of a job whose removal was cut short, and nothing of any other."""
        uid, keep_s = self._client.hmget(self._key, "uid", "keep_s")
        return self._delete(int(keep_s) if _SECONDS.fullmatch(keep_s or b"") else 0, uid or b"", "cancelled", "")

    def complete(self, ttl_s: int) -> None:
        """Completes a removal or a finishing that was cut short."""
        uid, state = self._client.hmget(self._key, "uid", "state")
        if state == b"finished":
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
        if version != RECORD_VERSION.encode():  # it may keep no list of what it has
            self._sweep_range(uid, int(batches) if (batches or b"").isdigit() else 0)
        answer = "not swept"
        while answer == "not swept":
            self._sweep(uid)
            answer = self._run("end_delete", ["", everywhere, *SWEPT], self.name, uid)
        return bool(answer == "deleted")

    def _sweep_range(self, uid: bytes, batches: int) -> None:
        for first in range(0, batches + 1, _SWEPT_AT_ONCE):
            some = range(first, min(batches + 1, first + _SWEPT_AT_ONCE))
            parts = [f"{kind}:{batch}" for kind in ("block", "bytes") for batch in some]
            self._run("sweep", ["", *SWEPT, *parts], uid, *some)

    def _sweep(self, uid: str | bytes) -> None:
        """Removes blocks and images of all batches, some at a time, of a finished or cancelled job."""
        # Nobody adds any more. Images are on the server of those batches only that are listed: mostly of none.
        kinds = ("block", "bytes") if self._client.exists(self._part("inline")) else ("block",)
        while batches := self._batches_kept():
            parts = [f"{kind}:{batch}" for kind in kinds for batch in batches]
            if not self._run("sweep", ["", *SWEPT, *parts], uid, *batches):
                return

    def _batches_kept(self) -> list[str]:
        """Some batches whose block or whose images are on the server."""
        found = self._client.zrange(self._part("stored"), 0, _SWEPT_AT_ONCE - 1)
        found = found or self._client.hrandfield(self._part("inline"), _SWEPT_AT_ONCE)
        return [batch.decode() for batch in found or ()]
