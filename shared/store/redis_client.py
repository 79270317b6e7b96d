"""Connections to the Redis server, and errors that tell the user what to do."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from shared.config.settings import Settings
from shared.domain.errors import InvalidSetting, ServerError, ServerUnreachable
from shared.domain.text import one_line
from shared.store.keys import MARK, NOTHING

_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
Client = Any
"""A `redis.Redis`. Its type hints mix text with bytes, and plain answers with awaitable ones."""


def connect(
    settings: Settings, *, read_timeout_s: float = 30.0, connect_timeout_s: float = 5.0, retries: int = 3
) -> Client:
    """A client of the server; it connects at the first command. InvalidSetting if the address has options that do not
    exist, or names files that cannot be read.
    """
    url = settings.server_url
    if url.startswith("redis+socket://"):  # kombu's spelling; redis-py's is unix://
        url = "unix://" + url.removeprefix("redis+socket://")
    with _explained_options():
        client = _client(url, read_timeout_s, connect_timeout_s, retries)
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # otherwise at first use
    for option in _FILES:
        name = pool.connection_kwargs.get(option)
        if name and not os.access(name, os.R_OK):
            raise InvalidSetting(
                f"{option} in REDIS_URL names {one_line(name)}, which cannot be read. Correct the path."
            )
    return client


@contextmanager
def _explained_options() -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError, redis.RedisError) as error:
        reason = one_line(str(error).rpartition("() ")[2])
        raise InvalidSetting(
            f"The setting REDIS_URL has an option after `?` that cannot be used: {reason}. Correct it; those of TLS "
            "(ssl_...) need rediss:// or valkeys://."
        ) from None


def _client(url: str, read_timeout_s: float, connect_timeout_s: float, retries: int) -> Client:
    return redis.Redis.from_url(
        url,
        # redis-py 8 has a read timeout of 5 s by default, which interrupts its own blocking calls.
        socket_timeout=read_timeout_s,
        socket_connect_timeout=connect_timeout_s,
        health_check_interval=25,
        # Covers connections that a server's restart closed. Longer waits are up to the callers, who report them. If a
        # server does not answer in time, it is not asked again: each attempt would wait as long.
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), retries, (redis.ConnectionError,)),
    )


_WAITAOF_MS = 5000
_PING_EVERY_S = 0.25
_PING_WITHIN_S = 3.0
_LOG_EVERY_S = 2.0
_DESPITE_OOM = "redis.call('DEL', KEYS[1]) return redis.call(ARGV[1], KEYS[2], unpack(ARGV, 2))"


def run_despite_oom(client: Client, command: str, key: str, *arguments: Any) -> Any:
    """Runs one small command on one key even if the server is out of memory: leases, elections, heartbeats.

    Such a server refuses commands that need memory, but a script runs to its end if its first write needs none.
    Deleting a key that does not exist is such a write.
    """
    return client.eval(_DESPITE_OOM, 2, NOTHING, key, command, *arguments)


def server_time_ms(client: Client) -> int:
    """The server's clock, in ms since 1970: the one clock that producers and workers on several machines share."""
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000


@dataclass(frozen=True)
class Memory:
    """The server's memory, in bytes."""

    used: int
    limit: int
    """0 if there is no limit."""

    def above(self, share: float) -> bool:
        """Whether more than this share of the limit is used."""
        return self.limit > 0 and self.used > share * self.limit


def server_memory(client: Client) -> Memory:
    """The server's memory use; without a limit if the server does not report one."""
    try:
        found = client.info("memory")
    except redis.ResponseError:  # this user may not run INFO
        return Memory(0, 0)
    return Memory(int(found.get("used_memory", 0)), int(found.get("maxmemory", 0)))


def readable_url(settings: Settings) -> str:
    """The server's address as the user wrote it, without its password."""
    parts = urlsplit(settings.given_url)
    if not parts.hostname:
        return f"{parts.scheme}://{parts.path}"
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}{parts.path}"


@contextmanager
def explain_server_errors(settings: Settings) -> Iterator[None]:
    """Converts redis-py's exceptions into a ServerError that tells the user what to do."""
    where = readable_url(settings)
    try:
        yield
    except redis.AuthenticationError as error:
        raise ServerError(f"The server at {where} refused the password: {error}. Check REDIS_URL.") from None
    except redis.ConnectionError as error:
        raise ServerUnreachable(f"No server answers at {where} ({error}).") from None
    except redis.TimeoutError:
        raise ServerError(f"The server at {where} does not answer in time. Is it overloaded?") from None
    except redis.OutOfMemoryError:
        raise ServerError(
            f"The server at {where} is full (maxmemory). Let workers finish, prune jobs, or raise its limit."
        ) from None
    except redis.ResponseError as error:
        raise ServerError(f"The server at {where} answered: {error}.") from None
    except redis.InvalidResponse as error:
        raise ServerError(
            f"What answers at {where} is no Redis or Valkey server ({one_line(str(error), 80)}). Check REDIS_URL."
        ) from None


def wait_for_server(settings: Settings, say: Callable[[str], None]) -> None:
    """Waits until the server answers. Raises ServerError after `server_timeout_s`, or a few seconds later."""
    told = False

    def tell(_: RetryCallState) -> None:
        nonlocal told
        if not told:
            say(f"Waiting for the server at {readable_url(settings)} (up to {settings.server_timeout_s:.0f} s)")
            told = True

    def ping() -> None:
        with explain_server_errors(settings):
            client.ping()

    with connect(settings, read_timeout_s=_PING_WITHIN_S, connect_timeout_s=_PING_WITHIN_S, retries=0) as client:
        Retrying(
            retry=retry_if_exception_type(ServerError),
            wait=wait_fixed(_PING_EVERY_S),
            stop=stop_after_delay(settings.server_timeout_s),
            before_sleep=tell,
            reraise=True,
        )(ping)


def wait_for_disk(client: Client) -> bool:
    """Waits until all writes are on the server's disk; False if the server did not confirm that within 5 s.

    True as well if there is nothing to wait for, because the server keeps no append-only file. A server that cannot
    confirm (before Redis 7.2, or without permission) syncs its file every second; this function then waits two seconds.
    """
    # WAITAOF covers the writes of its own connection, which may have written nothing yet. The write before it comes
    # after the writes of all other connections.
    pipeline = client.pipeline(transaction=False).eval(_DESPITE_OOM, 2, NOTHING, MARK, "SET", "", "PX", 1)
    try:
        _, (on_disk, _) = pipeline.execute_command("WAITAOF", 1, 0, _WAITAOF_MS).execute()
    except redis.ResponseError as error:
        if "appendonly is disabled" not in str(error):
            time.sleep(_LOG_EVERY_S)
        return True
    return bool(on_disk)
