"""Who writes a job's results: one aggregator at a time, for as long as it renews its claim."""

from shared.store.record_part import RecordPart

_LEASE_FACTOR = 2  # files are being written: rather wait a little longer than write them twice
_NO_KEY = -2  # what PTTL answers


class AggregationLock(RecordPart):
    """The claim on a job's aggregation."""

    def claim_aggregation(self, holder: str, lease_s: float, *, uid: str = "") -> bool:
        """Makes `holder` the only aggregator for a while; with `uid` of that job alone, not of another one of the
        name.
        """
        lease_ms = int(lease_s * _LEASE_FACTOR * 1000)
        return bool(self._run("claim", ["", "aggregation"], uid, holder, lease_ms))

    def renew_aggregation(self, holder: str, lease_s: float) -> bool:
        """Prolongs the claim; False where it was lost."""
        lease_ms = int(lease_s * _LEASE_FACTOR * 1000)
        return bool(self._run("prolong", ["aggregation"], holder, lease_ms))

    def holds_aggregation(self, holder: str) -> bool:
        """Whether the claim is still this holder's."""
        return bool(self._client.get(self._part("aggregation")) == holder.encode())

    def release_aggregation(self, uid: str, holder: str, problem: str | None = None) -> None:
        """Gives the claim back, with the reason why there are no results; does nothing where it was lost."""
        self._run("disclaim", ["", "aggregation"], uid, holder, problem or "")

    def note_published(self, uid: str, holder: str) -> bool:
        """Says that the results are in their place, to those who follow the job; False where the claim was lost."""
        return bool(self._run("note_published", ["", "aggregation"], uid, holder))

    def aggregation_claimed(self) -> bool:
        """Whether somebody aggregates this job just now."""
        with self._client.pipeline() as pipe:
            left_ms, length_ms = pipe.pttl(self._part("aggregation")).hget(self._key, "claim_ms").execute()
        # More than any claim has left: the server's clock was set back (`claim.lua`).
        return bool(left_ms != _NO_KEY and (length_ms is None or left_ms <= 2 * int(length_ms)))

    def count_lost_aggregation(self, uid: str) -> bool:
        """Counts an aggregation that was lost and sent again; False where the job does not wait for its results any
        more.

        In the record, as whoever counts may die of what it counts: both are one container mostly.
        """
        return bool(self._run("lost_aggregation", [""], uid))

    def note_problem(self, uid: str, problem: str, *, lost: int = 0) -> bool:
        """Says why there are no results, to those who follow the job; nobody tries again before `go_on`."""
        return bool(self._run("note_problem", [""], uid, problem, lost))
