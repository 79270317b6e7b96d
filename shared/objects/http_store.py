"""Web servers. They have no listing, so a list names the images."""

import asyncio
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import aiohttp
from fsspec.implementations.http import HTTPFileSystem
from yarl import URL

from shared.domain.errors import LocationUnavailable
from shared.domain.image_formats import HEAD_BYTES
from shared.domain.locations import Location
from shared.objects.store import (
    CONNECT_S,
    READ_S,
    AccessRefused,
    Judge,
    ListedObject,
    NetworkFault,
    ObjectTrouble,
    ReadObject,
)

_AS_THEY_ARE = "/%:@!$&'()*+,;=~"
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S)


class HttpStore:
    """The files of a web server below the location. Redirects are not followed: they may lead anywhere."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self._system = HTTPFileSystem(skip_instance_cache=True, use_listings_cache=False)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """fsspec's."""
        loop: asyncio.AbstractEventLoop = self._system.loop
        return loop

    async def read(self, name: str, judge: Judge, most: int) -> ReadObject:
        """One GET."""
        session = await self._system.set_session()
        url = URL(f"{self.location}/{quote(name, safe=_AS_THEY_ARE)}", encoded=True)
        try:
            async with session.get(
                url, allow_redirects=False, timeout=_TIMEOUT, headers={"Accept-Encoding": "identity"}
            ) as answer:
                _check_status(answer.status)
                size = answer.content_length
                head = await _read_up_to(answer.content, HEAD_BYTES)
                mtime_ns = _nanoseconds(answer.headers.get("Last-Modified"))
                judge(head, size, mtime_ns)
                data = head + await _read_up_to(answer.content, most - len(head))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NetworkFault(f"the connection failed ({type(error).__name__})") from None
        if size is not None and len(data) < min(size, most):
            raise NetworkFault("the answer was cut short")
        return ReadObject(data, mtime_ns)

    def pages(self, after: str | None) -> Iterator[list[ListedObject]]:
        """Not possible."""
        raise LocationUnavailable(
            f"{self.location} is on a web server, which cannot be listed: give a list of URLs with --files"
        )

    async def probe(self) -> None:
        """Asks the server for the prefix; any answer but an error of the server will do."""
        session = await self._system.set_session()
        try:
            async with session.get(
                URL(str(self.location), encoded=True), allow_redirects=False, timeout=_TIMEOUT
            ) as answer:
                if answer.status >= 500:
                    _check_status(answer.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NetworkFault(f"the connection failed ({type(error).__name__})") from None


def _check_status(status: int) -> None:
    if status == 200:
        return
    if status >= 500 or status == 429:
        raise NetworkFault(f"the service answered with an error ({status})")
    if status in (404, 410):
        raise ObjectTrouble("there is no such object")
    if status in (401, 403):
        raise AccessRefused("access denied")
    if 300 <= status < 400:
        raise ObjectTrouble("the server redirects to another address, and redirects are not followed")
    raise ObjectTrouble(f"the service refuses to give it ({status})")


def _nanoseconds(modified: str | None) -> int:
    try:
        return 0 if modified is None else int(parsedate_to_datetime(modified).timestamp()) * 10**9
    except (ValueError, TypeError, OverflowError):
        return 0


async def _read_up_to(stream: aiohttp.StreamReader, size: int) -> bytes:
    parts, left = [], size
    while left > 0 and (part := await stream.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
