"""Sends a worker's samples to its streams on the server (`worker.sample_stream`)."""

from collections import deque
from collections.abc import Sequence

from shared.store.redis_client import Client
from worker.sample_stream import FIELD, KEPT_S, LEVELS, Row, pack_sample
from worker.supervision.thinning import Window

_WAITING = 2_000  # entries that wait while the server is unreachable


class SampleStreams:
    """The samples that one worker sends. `add` and `send` may be called from two threads."""

    def __init__(self, worker: str) -> None:
        self._keys = [level.key(worker) for level in LEVELS]
        self._windows = [Window(level.spacing_s) if level.spacing_s else None for level in LEVELS]
        self._waiting: list[deque[bytes]] = [deque(maxlen=_WAITING) for _ in LEVELS]

    def add(self, rows: Sequence[Row], at_s: float) -> None:
        """Adds the sample taken at `at_s` (in seconds), one row per process."""
        for window, waiting in zip(self._windows, self._waiting, strict=True):
            ready = rows if window is None else window.add(rows, at_s)
            if ready:
                waiting.append(pack_sample(ready))

    def send(self, client: Client) -> None:
        """Sends all waiting samples in one transaction. After a RedisError at least the newest still wait."""
        batches = [list(waiting) for waiting in self._waiting]
        with client.pipeline(transaction=True) as pipe:
            for level, key, batch in zip(LEVELS, self._keys, batches, strict=True):
                for entry in batch:
                    pipe.xadd(key, {FIELD: entry}, maxlen=level.most_entries(len(entry)), approximate=True)
                if batch:
                    pipe.expire(key, KEPT_S)
            pipe.execute()
        for waiting, batch in zip(self._waiting, batches, strict=True):
            for _ in range(min(len(batch), len(waiting))):
                waiting.popleft()
