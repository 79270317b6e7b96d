"""A worker's samples on the server: recent ones in full, older ones thinned, until the aggregator reads them.

Each worker has three streams of bounded size, so that a week of 16 processes fits into `MAX_BYTES`. The worker thins
samples before it sends them; a worker that dies leaves its last minutes in the finest stream. An entry is the sample of
all processes at one moment: CSV without a header, compressed to a third.
"""

import csv
import io
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import dropwhile

import redis

from shared.config.logs import get_logger
from shared.results.schema import SAMPLE_COLUMNS, samples_name
from shared.store.keys import SAMPLES
from shared.store.redis_client import Client, server_time_ms
from worker.supervision.thinning import Row, Window

MIB = 2**20
KEPT_S = 8 * 24 * 3600
"""How much of a worker's past is kept. The streams expire after as long without a sample."""
_FIELD = b"csv"
_ENTRY_BYTES = 48  # the stream's own, for each entry
_WAITING = 2_000  # entries of a stream, while the server is unreachable
_PAGE = 100  # entries read at once
_LONGEST_FILE_NAME = 255  # bytes
_MAX_UNPACKED = MIB  # of an entry; a process takes 120 bytes
_log = get_logger("sample_streams")


@dataclass(frozen=True)
class _Level:
    spacing_s: int
    """0: every sample."""
    max_bytes: int

    def key(self, worker: str) -> str:
        return f"{SAMPLES}{self.spacing_s}:{worker}"

    def most_entries(self, size: int) -> int:
        """How many entries of `size` bytes are kept."""
        return max(1, min(KEPT_S // max(1, self.spacing_s), self.max_bytes // (size + _ENTRY_BYTES)))


# Of 16 processes these are half an hour, some hours, and eight days.
_LEVELS = (_Level(0, MIB), _Level(10, MIB), _Level(60, 6 * MIB))
MAX_BYTES = sum(level.max_bytes for level in _LEVELS)
"""Of the server's memory, for one worker."""


class SampleStreams:
    """What one worker sends. `add` and `send` may be called from two threads."""

    def __init__(self, worker: str) -> None:
        self._keys = [level.key(worker) for level in _LEVELS]
        self._windows = [Window(level.spacing_s) if level.spacing_s else None for level in _LEVELS]
        self._waiting: list[deque[bytes]] = [deque(maxlen=_WAITING) for _ in _LEVELS]

    def add(self, rows: Sequence[Row], at_s: float) -> None:
        """Takes the sample of the moment `at_s` (seconds of the clock), one row a process."""
        for window, waiting in zip(self._windows, self._waiting, strict=True):
            ready = rows if window is None else window.add(rows, at_s)
            if ready:
                waiting.append(_pack(ready))

    def send(self, client: Client) -> None:
        """Sends the waiting samples, all or none, in one round trip. After a RedisError at least the newest wait."""
        batches = [list(waiting) for waiting in self._waiting]
        with client.pipeline(transaction=True) as pipe:
            for level, key, batch in zip(_LEVELS, self._keys, batches, strict=True):
                for entry in batch:
                    pipe.xadd(key, {_FIELD: entry}, maxlen=level.most_entries(len(entry)), approximate=True)
                if batch:
                    pipe.expire(key, KEPT_S)
            pipe.execute()
        for waiting, batch in zip(self._waiting, batches, strict=True):
            for _ in range(min(len(batch), len(waiting))):
                waiting.popleft()


def samples_between(client: Client, started_ms: int) -> dict[str, Iterator[Row]]:
    """The samples of every worker from `started_ms` (the server's clock) until now, in order, read on access.

    The most recent samples are complete, older ones are means of ten seconds and of a minute. Some workers have none.
    """
    # Where the server's clock was set back since, an older stream goes on with the time that it had reached, but a new
    # one begins with an earlier time: then rather everything than nothing.
    first = str(started_ms) if started_ms <= server_time_ms(client) else "-"
    keys = [key.decode("utf-8", "replace") for key in client.scan_iter(match=f"{SAMPLES}*", count=1000)]
    workers = {key.removeprefix(SAMPLES).partition(":")[2] for key in keys}
    return {worker: _rows(client, worker, first, "+") for worker in sorted(workers) if _names_a_file(worker)}


def _names_a_file(worker: str) -> bool:
    """One key with another name would prevent the results of every job."""
    return bool(worker) and worker.isprintable() and len(samples_name(worker).encode()) <= _LONGEST_FILE_NAME


def _rows(client: Client, worker: str, first: str, until: str) -> Iterator[Row]:
    try:
        for moment in _moments(client, worker, first, until):
            yield from moment
    except redis.ResponseError as error:  # not a stream, or not ours: the results lack it
        _log.warning("no samples of %s: %s", worker, error, extra={"action": "samples_unread"})


def _moments(client: Client, worker: str, first: str, until: str) -> Iterator[list[Row]]:
    """Coarse samples until the finer ones begin. All their times are of the worker's clock."""
    keys = [level.key(worker) for level in reversed(_LEVELS)]
    begins = [next((moment[0]["time"] for moment in _entries(client, key, first, until)), None) for key in keys]
    reached = ""
    for place, key in enumerate(keys):
        finer = next((time for time in begins[place + 1 :] if time is not None), None)
        entries = _entries(client, key, first, until)
        for count, moment in enumerate(dropwhile(partial(_is_until, reached), entries)):
            late = finer is not None and moment[0]["time"] >= finer
            if late and count == 0:
                break
            reached = moment[0]["time"]
            yield moment
            if late:  # the window in which the finer ones begin
                break


def _is_until(reached: str, moment: list[Row]) -> bool:
    return moment[0]["time"] <= reached


def _entries(client: Client, key: str, first: str, until: str) -> Iterator[list[Row]]:
    while True:
        page = client.xrange(key, min=first, max=until, count=_PAGE)
        for _, fields in page:
            if rows := _unpack(fields.get(_FIELD, b"")):
                yield rows
        if len(page) < _PAGE:
            return
        first = f"({page[-1][0].decode()}"


def _pack(rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    csv.DictWriter(text, SAMPLE_COLUMNS, lineterminator="\n").writerows(rows)
    return zlib.compress(text.getvalue().encode())


def _unpack(entry: bytes) -> list[Row]:
    """The rows of an entry; none if another version wrote it, or no worker."""
    try:
        text = zlib.decompressobj().decompress(entry, _MAX_UNPACKED).decode()
        rows = [row for row in csv.reader(io.StringIO(text)) if len(row) == len(SAMPLE_COLUMNS)]
    except (zlib.error, UnicodeDecodeError, csv.Error):
        return []
    return [dict(zip(SAMPLE_COLUMNS, row, strict=True)) for row in rows]
