"""A job that has its results, and the retry of its failed images."""

import uuid
from enum import StrEnum

from shared.domain.errors import JobNotRetryable
from shared.domain.failed_images import fits_record
from shared.domain.job import Job
from shared.domain.outcomes import FAILED
from shared.domain.paths import RootPath, pack_paths, unpack_paths
from shared.store.keys import REGISTRY, SWEPT, UNFINISHED, WHILE_UNFINISHED
from shared.store.redis_client import insist
from shared.store.removal import Removal

_NOTED_LIFE_S = 3600


class Finished(StrEnum):
    """What became of a job whose results were written."""

    FINISHED = "finished"
    STALE = "stale"
    """Another aggregator has taken over."""
    UNKNOWN = "unknown"
    ENQUEUING = "enqueuing"
    CANCELLED = "cancelled"


class Finishing(Removal):
    """The failed images are noted, and what only an unfinished job needs is removed."""

    def finish(self, job: Job, holder: str, ttl_s: int, failed: dict[int, RootPath]) -> Finished:
        """Marks the job finished, notes its failed images, and removes what only an unfinished job needs.

        Where so many failed that they do not fit the record, they are only counted.
        """
        # Of this call alone: an aggregator that comes too late must not take away what another has noted.
        part = f"failed-now:{uuid.uuid4().hex[:12]}"
        noted, listed = self._part(part), not fits_record(failed)
        rows = [] if listed else [(index, pack_paths([path])) for index, path in failed.items()]
        for first in range(0, len(rows), 1000):
            # Also on a full server: finishing makes room.
            insist(self._client, "HSET", noted, *(item for row in rows[first : first + 1000] for item in row))
            self._client.expire(noted, _NOTED_LIFE_S)
        parts = ["", "aggregation", "failed", part, *WHILE_UNFINISHED]
        answer = Finished(self._run("finish", parts, job.uid, holder, len(failed) if listed else 0))
        self._client.unlink(noted)
        if answer is Finished.FINISHED:
            self.close(job.uid, ttl_s)
        return answer

    def reopen(self, job: Job) -> int:
        """Opens a finished job again for its failed images; how many these are."""
        counters = [f"outcome:{outcome}" for outcome in FAILED]
        parts = ["", "failed", f"={REGISTRY}", f"={UNFINISHED}", *SWEPT]
        self._sweep(job.uid)  # where the aggregator died over it
        answer = self._run("reopen", parts, job.uid, uuid.uuid4().hex, job.name, *counters)
        if isinstance(answer, int):
            return answer
        raise JobNotRetryable(
            f"Job '{job.name}' is {answer}: only the failed images of a finished job can be tried again."
        )

    def failed_images(self) -> dict[int, RootPath]:
        """The failed images of the last time the job was finished: path by index, in order; none where they did not
        fit.

        `shared.results.failed_list.failed_images` finds those too.
        """
        found = self._client.hgetall(self._part("failed"))
        return {int(index): unpack_paths(found[index])[0] for index in sorted(found, key=int)}
