"""Finishing a job whose results are written, and reopening it to retry its failed images."""

import uuid
from enum import StrEnum

from shared.domain.errors import JobNotRetryable
from shared.domain.failed_images import fits_record
from shared.domain.job import Job
from shared.domain.outcomes import FAILED
from shared.domain.paths import RootPath, pack_paths, unpack_paths
from shared.store.keys import REGISTRY, SWEPT, UNFINISHED, WHILE_UNFINISHED
from shared.store.redis_client import run_despite_oom
from shared.store.removal import Removal

_NOTED_LIFE_S = 3600


class Finished(StrEnum):
    """The answer to `finish`."""

    FINISHED = "finished"
    STALE = "stale"
    """Another aggregator has taken over."""
    UNKNOWN = "unknown"
    ENQUEUING = "enqueuing"
    CANCELLED = "cancelled"


class Finishing(Removal):
    """Marks a job finished and records its failed images, or reopens it."""

    def finish(self, job: Job, holder: str, ttl_s: int, failed: dict[int, RootPath]) -> Finished:
        """Marks the job finished, records its failed images, and removes everything that only an unfinished job needs.

        If there are too many failed images for the record, only their number is recorded.
        """
        # A key of this call alone: an aggregator that comes too late must not delete what another has recorded.
        part = f"failed-now:{uuid.uuid4().hex[:12]}"
        noted, listed = self._part(part), not fits_record(failed)
        rows = [] if listed else [(index, pack_paths([path])) for index, path in failed.items()]
        for first in range(0, len(rows), 1000):
            # This must succeed even if the server is out of memory: finishing frees memory.
            run_despite_oom(self._client, "HSET", noted, *(item for row in rows[first : first + 1000] for item in row))
            self._client.expire(noted, _NOTED_LIFE_S)
        parts = ["", "aggregation", "failed", part, *WHILE_UNFINISHED]
        answer = Finished(self._run("finish", parts, job.uid, holder, len(failed) if listed else 0))
        self._client.unlink(noted)
        if answer is Finished.FINISHED:
            self.close(job.uid, ttl_s)
        return answer

    def reopen(self, job: Job) -> int:
        """Reopens a finished job to retry its failed images; returns their number."""
        counters = [f"outcome:{outcome}" for outcome in FAILED]
        parts = ["", "failed", f"={REGISTRY}", f"={UNFINISHED}", *SWEPT]
        self._sweep(job.uid)  # if the aggregator died before it removed all blocks
        answer = self._run("reopen", parts, job.uid, uuid.uuid4().hex, job.name, *counters)
        if isinstance(answer, int):
            return answer
        raise JobNotRetryable(
            f"Job '{job.name}' is {answer}: only the failed images of a finished job can be tried again."
        )

    def failed_images(self) -> dict[int, RootPath]:
        """The paths of the images that failed when the job was last finished, by index, in order. Empty if they did not
        fit.

        `shared.results.failed_list.failed_images` finds those as well.
        """
        found = self._client.hgetall(self._part("failed"))
        return {int(index): unpack_paths(found[index])[0] for index in sorted(found, key=int)}
