"""The finished blocks of a job on the server, and the number of bytes in its spill file."""

from collections.abc import Sequence

from shared.store.record_part import RecordPart


class Blocks(RecordPart):
    """The blocks of a job, by batch."""

    def blocks(self, batches: Sequence[int]) -> list[bytes | None]:
        """The blocks of these batches; None for each that is not on the server."""
        found: list[bytes | None] = self._client.mget([self._part(f"block:{batch}") for batch in batches])
        return found

    def stored(self, most: int) -> list[int]:
        """The first batches whose blocks are on the server."""
        return [int(batch) for batch in self._client.zrange(self._part("stored"), 0, most - 1)]

    def count_spilled(self, uid: str, before: int, now: int, host: str, batches: Sequence[int]) -> bool:
        """Removes blocks from the server that are in the spill file, which is now `now` bytes long.

        False, with nothing removed, if the job or its spill file has changed meanwhile.
        """
        parts = ["", "aggregation", "stored", *(f"block:{batch}" for batch in batches)]
        return bool(self._run("spooled", parts, uid, before, now, host, *batches))
