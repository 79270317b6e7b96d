"""Object storage and web servers as places of images: the interface, and the errors that every kind is reduced to.

No error repeats what a service said: it may contain addresses or names of credentials.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from shared.domain.errors import LocationUnavailable
from shared.domain.locations import Location, parse_location

CONNECT_S, READ_S = 5.0, 10.0
"""How long one attempt waits for a connection, and for the next bytes."""
LISTING_PATIENCE_S = 60.0
"""How long reading a page of a listing is repeated."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0

Result = TypeVar("Result")
Judge = Callable[[bytes, int | None, int], None]
"""Called with the first bytes of an object, its size and when it last changed in ns since 1970 (0: unknown), before the
rest is read. It raises what the reader is to raise instead of reading the rest.
"""


class ObjectTrouble(Exception):
    """One object cannot be read; the message is the reason, for `images.csv`."""


class NetworkFault(ObjectTrouble):
    """The service did not answer as it should; it may the next time."""


class AccessRefused(ObjectTrouble):
    """The service answered that it may not be read."""


@dataclass(frozen=True)
class ReadObject:
    """An object's bytes, and when it last changed in ns since 1970 (0: unknown), by the service's clock."""

    data: bytes
    mtime_ns: int


@dataclass(frozen=True)
class ListedObject:
    """An object as a listing shows it."""

    name: str
    """Below the location's prefix."""
    size: int
    mtime_ns: int


class ObjectStore(Protocol):
    """The images below one location."""

    location: Location

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop on which the coroutines run."""

    async def read(self, name: str, judge: Judge, most: int) -> ReadObject:
        """One attempt to read an object of at most `most` bytes, by its name below the prefix.

        Raises ObjectTrouble, LocationUnavailable, or what `judge` raises.
        """

    async def status(self, name: str) -> ListedObject:
        """One attempt to ask for an object's size and time. ObjectTrouble or LocationUnavailable, as `read`."""

    def pages(self, after: str | None) -> Iterator[list[ListedObject]]:
        """Yields the objects in the order of their names' UTF-8 bytes, page by page, from the one after `after` on.

        ObjectTrouble or LocationUnavailable if they cannot be listed.
        """

    async def probe(self) -> None:
        """Raises ObjectTrouble or LocationUnavailable if nothing can be found there."""


async def retried(patience_s: float, attempt: Callable[[], Awaitable[Result]]) -> Result:
    """What `attempt` gives, repeated with backoff after network faults for `patience_s`."""

    async def once() -> Result:
        return await attempt()

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(NetworkFault),
        wait=wait_random_exponential(multiplier=_FIRST_PAUSE_S, max=_LONGEST_PAUSE_S),
        stop=stop_after_delay(patience_s),
        reraise=True,
    )
    return await retrying(once)


def probe_store(store: ObjectStore, patience_s: float) -> None:
    """Raises ObjectTrouble or LocationUnavailable if nothing can be found in a store. Not for its loop's thread."""
    asyncio.run_coroutine_threadsafe(retried(patience_s, store.probe), store.loop).result()


def open_store(url: str) -> ObjectStore:
    """The store of a location, for one process. LocationUnavailable if a package is missing."""
    location = parse_location(url)
    try:
        if location.scheme == "s3":
            from shared.objects.s3_store import S3Store

            return S3Store(location)
        if location.scheme == "gs":
            from shared.objects.gcs_store import GcsStore

            return GcsStore(location)
        from shared.objects.http_store import HttpStore

        return HttpStore(location)
    except ImportError as error:
        extra = "gcs" if location.scheme == "gs" else "s3"
        raise LocationUnavailable(
            f"{url} needs the package {error.name}, which is not installed here: `pip install 'facequeue[{extra}]'`"
        ) from None
