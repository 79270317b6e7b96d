"""The aggregation lease of a job: one aggregator at a time writes the results, as long as it renews the lease."""

from shared.store.record_part import RecordPart

_LEASE_FACTOR = 2  # a slow writer keeps its lease longer, so that results are rarely written twice
_NO_KEY = -2  # PTTL's answer for a missing key


class AggregationLock(RecordPart):
    """The lease on a job's aggregation."""

    def claim_aggregation(self, holder: str, lease_s: float, *, uid: str | None = None) -> bool:
        """Leases the aggregation to `holder`; returns whether it got the lease.

        With `uid`, only if the job still has that uid: another job may have taken over the name.
        """
        lease_ms = int(lease_s * _LEASE_FACTOR * 1000)
        return bool(self._run("claim", ["", "aggregation"], uid or "", holder, lease_ms))

    def renew_aggregation(self, holder: str, lease_s: float) -> bool:
        """Renews the lease; False if it was lost."""
        lease_ms = int(lease_s * _LEASE_FACTOR * 1000)
        return bool(self._run("prolong", ["aggregation"], holder, lease_ms))

    def holds_aggregation(self, holder: str) -> bool:
        """Whether this holder still has the lease."""
        return bool(self._client.get(self._part("aggregation")) == holder.encode())

    def release_aggregation(self, uid: str, holder: str, problem: str | None = None) -> None:
        """Ends the lease and records the problem, if any, that prevented the results. Does nothing if the lease was
        lost.
        """
        self._run("disclaim", ["", "aggregation"], uid, holder, problem or "")

    def note_published(self, uid: str, holder: str) -> bool:
        """Records that the results are published, and wakes the commands that wait; False if the lease was lost."""
        return bool(self._run("note_published", ["", "aggregation"], uid, holder))

    def aggregation_claimed(self) -> bool:
        """Whether an aggregator holds the lease."""
        with self._client.pipeline() as pipe:
            left_ms, length_ms = pipe.pttl(self._part("aggregation")).hget(self._key, "claim_ms").execute()
        # A longer time than any lease: the server's clock was set back (`claim.lua`).
        return bool(left_ms != _NO_KEY and (length_ms is None or left_ms <= 2 * int(length_ms)))

    def count_lost_aggregation(self, uid: str) -> bool:
        """Counts a lost aggregation that was requeued; False if the job no longer waits for its results.

        The count is in the record, because the aggregator may take the process that counts down with it: often both run
        in one container.
        """
        return bool(self._run("lost_aggregation", [""], uid))

    def note_problem(self, uid: str, problem: str, *, lost: int = 0) -> bool:
        """Records why there are no results. The aggregation is not retried until `go_on`."""
        return bool(self._run("note_problem", [""], uid, problem, lost))
