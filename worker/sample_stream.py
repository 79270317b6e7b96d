"""The streams of a worker's samples on the server: recent ones complete, older ones thinned.

Each worker has three streams of bounded size, so that a week of 16 processes fits into `MAX_BYTES`. The worker thins
samples before it sends them. The last minutes of a crashed worker are in its finest stream. An entry holds the sample
of all processes at one moment: CSV without a header, compressed to a third.
"""

import csv
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from shared.results.schema import SAMPLE_COLUMNS
from shared.store.keys import sample_stream_key

MIB = 2**20
KEPT_S = 8 * 24 * 3600
"""How long samples are kept. The streams expire after the same time without a sample."""
FIELD = b"csv"
"""The field of an entry that holds the sample."""
_ENTRY_BYTES = 48  # the stream's own, for each entry
_MAX_UNPACKED = MIB  # of an entry; a process takes 120 bytes

Row = dict[str, str]
"""The sample of one process, by column."""


@dataclass(frozen=True)
class Level:
    """One of a worker's streams."""

    spacing_s: int
    """The time between two samples; 0: every sample is kept."""
    max_bytes: int

    def key(self, worker: str) -> str:
        """The stream's key."""
        return sample_stream_key(self.spacing_s, worker)

    def most_entries(self, size: int) -> int:
        """The number of entries of `size` bytes that are kept."""
        return max(1, min(KEPT_S // max(1, self.spacing_s), self.max_bytes // (size + _ENTRY_BYTES)))


# For 16 processes these hold half an hour, some hours, and eight days.
LEVELS = (Level(0, MIB), Level(10, MIB), Level(60, 6 * MIB))
MAX_BYTES = sum(level.max_bytes for level in LEVELS)
"""The server memory for one worker."""


def pack_sample(rows: Sequence[Row]) -> bytes:
    """Packs the sample of one moment, one row per process, as an entry."""
    text = io.StringIO()
    csv.DictWriter(text, SAMPLE_COLUMNS, lineterminator="\n").writerows(rows)
    return zlib.compress(text.getvalue().encode())


def unpack_sample(entry: bytes) -> list[Row]:
    """The rows of an entry; none if it was not written by this version."""
    try:
        text = zlib.decompressobj().decompress(entry, _MAX_UNPACKED).decode()
        rows = [row for row in csv.reader(io.StringIO(text)) if len(row) == len(SAMPLE_COLUMNS)]
    except (zlib.error, UnicodeDecodeError, csv.Error):
        return []
    return [dict(zip(SAMPLE_COLUMNS, row, strict=True)) for row in rows]
