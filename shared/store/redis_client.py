"""Connections to the Redis server, with errors a person can act on."""

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
from shared.domain.errors import ServerError, ServerUnreachable
from shared.store.keys import MARK, NOTHING

Client = Any
"""A `redis.Redis`: its own types mix answers of text and bytes, waited for or not."""


def connect(
    settings: Settings, *, read_timeout_s: float = 30.0, connect_timeout_s: float = 5.0, retries: int = 3
) -> Client:
    """A client of the server; nothing is sent yet."""
    url = settings.server_url
    if url.startswith("redis+socket://"):  # kombu's spelling; redis-py's is unix://
        url = "unix://" + url.removeprefix("redis+socket://")
    return redis.Redis.from_url(
        url,
        # redis-py 8 reads with a timeout of 5 s by default, which cuts off its own blocking calls.
        socket_timeout=read_timeout_s,
        socket_connect_timeout=connect_timeout_s,
        health_check_interval=25,
        # Bridges a restart's closed connections; longer waits are the callers', who say what they wait for.
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), retries),
    )


_WAITAOF_MS = 5000
_PING_EVERY_S = 0.25
_LOG_EVERY_S = 2.0
_INSIST = "redis.call('DEL', KEYS[1]) return redis.call(ARGV[1], KEYS[2], unpack(ARGV, 2))"


def insist(client: Client, command: str, key: str, *arguments: Any) -> Any:
    """Runs one small command on one key, which a full server must take too: leases, elections, signs of life.

    A full server refuses what takes memory, but within a script only as its first write; removing nothing is one.
    """
    return client.eval(_INSIST, 2, NOTHING, key, command, *arguments)


def server_time_ms(client: Client) -> int:
    """What the server's clock says, ms since 1970: the one that producers and workers on several machines share."""
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000


@dataclass(frozen=True)
class Memory:
    """What the server holds, in bytes."""

    used: int
    limit: int
    """0 where it has none."""

    def above(self, share: float) -> bool:
        """Whether more than this share of the limit is used."""
        return self.limit > 0 and self.used > share * self.limit


def server_memory(client: Client) -> Memory:
    """How full the server is; without a limit where it does not tell."""
    try:
        found = client.info("memory")
    except redis.ResponseError:  # not allowed to this user
        return Memory(0, 0)
    return Memory(int(found.get("used_memory", 0)), int(found.get("maxmemory", 0)))


def readable_url(settings: Settings) -> str:
    """The server's address without its password."""
    parts = urlsplit(settings.server_url)
    if not parts.hostname:
        return f"{parts.scheme}://{parts.path}"
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}{parts.path}"


@contextmanager
def explain_server_errors(settings: Settings) -> Iterator[None]:
    """Turns redis-py's exceptions into a ServerError that says what to do."""
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


def wait_for_server(settings: Settings, client: Client, say: Callable[[str], None]) -> None:
    """Returns when the server answers; ServerError after `server_timeout_s`."""
    told = False

    def tell(_: RetryCallState) -> None:
        nonlocal told
        if not told:
            say(f"Waiting for the server at {readable_url(settings)} (up to {settings.server_timeout_s:.0f} s)")
            told = True

    def ping() -> None:
        with explain_server_errors(settings):
            client.ping()

    Retrying(
        retry=retry_if_exception_type(ServerError),
        wait=wait_fixed(_PING_EVERY_S),
        stop=stop_after_delay(settings.server_timeout_s),
        before_sleep=tell,
        reraise=True,
    )(ping)


def wait_for_disk(client: Client) -> bool:
    """Waits until all that was written is on the server's disk; False where the server did not confirm that in 5 s.

    True as well where there is nothing to wait for: the server keeps no append-only file. One that cannot tell (before
    Redis 7.2, or not allowed to this user) writes its file every second, and is given two.
    """
    # The server answers for the connection that asks, and this one may have written nothing yet: others of the pool
    # have. Its own write comes behind all of them.
    pipeline = client.pipeline(transaction=False).eval(_INSIST, 2, NOTHING, MARK, "SET", "", "PX", 1)
    try:
        _, (on_disk, _) = pipeline.execute_command("WAITAOF", 1, 0, _WAITAOF_MS).execute()
    except redis.ResponseError as error:
        if "appendonly is disabled" not in str(error):
            time.sleep(_LOG_EVERY_S)
        return True
    return bool(on_disk)
