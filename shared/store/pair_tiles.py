"""The second stage of a job in its record: tiles of the pair matrix, leased like batches and numbered after them."""

from enum import StrEnum

from shared.store.record_part import RecordPart


class NotAdded(StrEnum):
    """Why no tiles were added."""

    UNKNOWN = "unknown"
    """The job does not exist, or its name now belongs to another job."""
    ENQUEUING = "enqueuing"
    CANCELLED = "cancelled"
    FINISHED = "finished"
    STALE = "stale"
    """Another aggregator has taken over."""
    OPEN = "open"
    """Tiles of before are not done."""


class TileCommitted(StrEnum):
    """The answer to `commit_tile`."""

    STORED = "stored"
    LAST = "last"
    """All tiles are done now, or were before."""
    DONE = "done"
    """Another process committed the tile first."""
    UNKNOWN = "unknown"
    """The job does not exist, or the stage was begun again."""
    ENQUEUING = "enqueuing"
    CANCELLED = "cancelled"
    FINISHED = "finished"


class PairTiles(RecordPart):
    """The tiles of a job."""

    def add_tiles(self, uid: str, holder: str, stage: str, tiles: int) -> NotAdded | None:
        """Adds the tiles, which wait for their turn (`queue_up`), or returns why not. The caller holds the aggregation
        lease. `stage` names the folder with the embeddings.
        """
        answer = self._run("add_tiles", ["", "aggregation", "open"], uid, holder, stage, tiles)
        return None if answer == "added" else NotAdded(answer)

    def commit_tile(self, uid: str, batch: int, stage: str) -> TileCommitted:
        """Marks a tile done whose candidates are written."""
        parts = ["", "open", "leases", "holders", "attempts", "losses", "refusals"]
        return TileCommitted(self._run("commit_tile", parts, uid, batch, stage))

    def note_refusal(self, uid: str, worker: str, reason: str) -> bool:
        """Records why a worker can neither aggregate nor compute tiles, until the next tile is committed (`refusals`).
        False if the job is not sealed.
        """
        return bool(self._run("note_refusal", ["", "refusals"], uid, worker, reason))
