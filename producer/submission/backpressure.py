"""Backpressure: a producer waits while the window is full, or the server is unreachable or out of memory."""

import time
from collections.abc import Callable
from typing import TypeVar

import redis
from tenacity import RetryCallState

from shared.config.settings import Settings
from shared.domain.counts import counted
from shared.messaging.celery_app import BrokerError
from shared.store.jobs import JobRecord
from shared.store.redis_client import Client, server_memory

_PAUSE_S = 0.2
_ROOM_FOR_WORKERS = 0.75
"""Share of maxmemory above which nothing is enqueued. Workers need the rest for results, or nothing is ever freed."""
_FULL = "The server is full (maxmemory); enqueuing resumes when workers have freed memory"
_UNREACHABLE = "The server does not answer; enqueuing resumes when it is back"
_AWAY = (redis.ConnectionError, redis.TimeoutError, BrokerError)
T = TypeVar("T")


class Stopped(Exception):
    """The producer was asked to stop while it waited."""


class Backpressure:
    """Makes the producer of one job wait, and prints each reason once."""

    def __init__(
        self,
        client: Client,
        record: JobRecord,
        settings: Settings,
        say: Callable[[str], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._client, self._record, self._settings = client, record, settings
        self._say, self._should_stop = say, should_stop
        self._said: set[str] = set()

    def wait(self) -> None:
        """Returns when one more batch may be added; Stopped if the producer is to stop."""
        while reason := self.pass_through(self._reason):
            self.pause(reason)
        if self._should_stop():
            raise Stopped

    def pass_through(self, call: Callable[[], T]) -> T:
        """Repeats a call until the server takes it. Being unreachable or out of memory for too long is an error;
        each is timed from its own start.
        """
        reason, since = "", 0.0
        while True:
            try:
                try:
                    return call()
                except redis.OutOfMemoryError:
                    if reason != _FULL:
                        reason, since = _FULL, time.monotonic()
                    # While batches are open, workers free memory sooner or later.
                    if self._is_too_long(since) and self._record.open_batches() == 0:
                        raise
            except (redis.ConnectionError, redis.TimeoutError, BrokerError):
                if reason != _UNREACHABLE:
                    reason, since = _UNREACHABLE, time.monotonic()
                if self._is_too_long(since):
                    raise
            self.pause(reason)

    def _is_too_long(self, since: float) -> bool:
        return time.monotonic() - since > self._settings.worker_timeout_s

    def pause(self, reason: str) -> None:
        """Sleeps for a moment and prints the reason, if it is new; Stopped if the producer is to stop."""
        if reason not in self._said:
            self._said.add(reason)
            self._say(reason)
        if self._should_stop():
            raise Stopped
        time.sleep(_PAUSE_S)

    def _reason(self) -> str | None:
        """Why no batch may be added now."""
        window, mib = self._settings.window_batches, self._settings.blocks_in_server_mib
        inline_mib = self._settings.inline_window_mib
        open_batches = self._record.open_batches()
        if open_batches >= window:
            waiting = counted(window, "batch is", "batches are")
            return f"{waiting} waiting for workers; enqueuing resumes as they are done"
        if self._record.block_bytes() > 2 * mib * 2**20:
            return f"{2 * mib} MiB of results are on the server; enqueuing resumes as the aggregator moves them"
        if open_batches and self._record.inline_bytes() > inline_mib * 2**20:
            return f"{inline_mib} MiB of images are on the server; enqueuing resumes as they are done"
        # If the job has no open batch, waiting frees nothing: then only a refusal by the server counts.
        if open_batches and server_memory(self._client).above(_ROOM_FOR_WORKERS):
            return _FULL
        return None


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
