"""Waiting for news of a job: its scripts publish on a channel with the name of the record's key."""

import time
from contextlib import suppress
from types import TracebackType
from typing import Self

import redis

from shared.store.keys import job_key
from shared.store.redis_client import Client


class News:
    """Wakes a command that waits for a job's results. News may be missed while the server is unreachable, so poll as
    well.
    """

    def __init__(self, client: Client, job: str) -> None:
        self._subscription = client.pubsub(ignore_subscribe_messages=True)
        self._channel, self._subscribed = job_key(job), False

    def __enter__(self) -> Self:
        self.wait(0.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(redis.RedisError, OSError):
            self._subscription.close()

    def wait(self, timeout_s: float) -> None:
        """Returns at the next news, or after the timeout."""
        until = time.monotonic() + timeout_s
        try:
            if not self._subscribed:
                self._subscription.subscribe(self._channel)
                self._subscribed = True
            while (left_s := until - time.monotonic()) > 0:
                if self._subscription.get_message(timeout=left_s) is not None:
                    return
        except (redis.RedisError, OSError):  # unreachable, or not allowed to this user
            self._subscribed = False
            time.sleep(max(0.0, until - time.monotonic()))
