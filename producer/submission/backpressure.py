"""The gate of the queue: no more goes in than a window, and nothing while the server is full."""

import time
from collections.abc import Callable
from typing import TypeVar

import redis

from shared.config.settings import Settings
from shared.messaging.celery_app import BrokerError
from shared.store.jobs import JobRecord
from shared.store.redis_client import Client, server_memory

_PAUSE_S = 0.2
_ROOM_FOR_WORKERS = 0.75
"""Share of maxmemory above which nothing is added: the rest is for results, without which nothing gets less."""
_FULL = "The server is full (maxmemory); enqueuing goes on as workers make room"
_AWAY = "The server does not answer; enqueuing goes on when it is back"
T = TypeVar("T")


class Stopped(Exception):
    """Whoever enqueues was asked to stop while it waited."""


class Gate:
    """Makes one job's producer wait, and says why, each reason once."""

    def __init__(
        self, client: Client, record: JobRecord, settings: Settings, say: Callable[[str], None],
        should_stop: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._client, self._record, self._settings = client, record, settings
        self._say, self._should_stop = say, should_stop
        self._said: set[str] = set()

    def wait(self) -> None:
        """Returns when one more batch may be added; Stopped where that is not wanted any more."""
        while reason := self.pass_through(self._reason):
            self.pause(reason)
        if self._should_stop():
            raise Stopped

    def pass_through(self, call: Callable[[], T]) -> T:
        """Repeats a call until the server takes it. It may be away or full for a while; then its error is raised."""
        since = time.monotonic()
        while True:
            try:
                return call()
            except redis.OutOfMemoryError:
                # While batches are open, workers make room sooner or later.
                if self._record.open_batches() == 0 and time.monotonic() - since > self._settings.worker_timeout_s:
                    raise
                self.pause(_FULL)
            except (redis.ConnectionError, redis.TimeoutError, BrokerError):
                if time.monotonic() - since > self._settings.worker_timeout_s:
                    raise
                self.pause(_AWAY)

    def _reason(self) -> str | None:
        window, mib = self._settings.window_batches, self._settings.blocks_in_server_mib
        open_batches = self._record.open_batches()
        if open_batches >= window:
            return f"{window} batches are waiting for workers; enqueuing goes on as they are done"
        if self._record.block_bytes() > 2 * mib * 2**20:
            return f"{2 * mib} MiB of results are on the server; enqueuing goes on as the aggregator moves them"
        if open_batches and self._record.inline_bytes() > self._settings.inline_window_mib * 2**20:
            return f"{self._settings.inline_window_mib} MiB of images are on the server; enqueuing goes on as they are done"
        # With no batch of its own on the way nothing would get less by waiting: then only the server's refusal counts.
        if open_batches and server_memory(self._client).above(_ROOM_FOR_WORKERS):
            return _FULL
        return None

    def pause(self, reason: str) -> None:
        """A short sleep for this reason, which is said once; Stopped where waiting is not wanted any more."""
        if reason not in self._said:
            self._said.add(reason)
            self._say(reason)
        if self._should_stop():
            raise Stopped
        time.sleep(_PAUSE_S)
