"""What waits for workers, by queue."""

import time
from dataclasses import dataclass

from producer.monitoring.queue_lengths import queue_lengths
from shared.config.settings import Settings
from shared.store.redis_client import Client
from shared.store.registry import some_prefixes

_MOST_PREFIXES = 20
"""Each `run` has queues of its own."""
_PAUSE = 20
"""The next look is put off so many times as long as one took: thousands of jobs that wait for their turn take 0.1 s."""


@dataclass(frozen=True)
class Waiting:
    """What no worker has taken."""

    queues: dict[str, int]
    """The number of batches and messages by queue."""
    more: bool
    """Whether there are other queues."""


class WaitingReader:
    """Reads it, at most a twentieth of the time."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client, self._settings = client, settings
        self._latest = Waiting({}, more=False)
        self._due = 0.0

    def read(self) -> Waiting:
        """What waits now, or did some seconds ago."""
        begun = time.monotonic()
        if begun >= self._due:
            prefixes = some_prefixes(self._client, _MOST_PREFIXES + 1)
            queues = queue_lengths(self._client, {self._settings.queue_prefix, *prefixes[:_MOST_PREFIXES]})
            self._latest = Waiting(queues, more=len(prefixes) > _MOST_PREFIXES)
            ended = time.monotonic()
            self._due = ended + _PAUSE * (ended - begun)
        return self._latest
