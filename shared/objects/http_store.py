"""Web servers. They have no listing, so a list names the images."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import aiohttp
from fsspec.implementations.http import HTTPFileSystem
from yarl import URL

from shared.domain.errors import LocationUnavailable
from shared.domain.locations import Location
from shared.objects.reading import TIMEOUT, check_status, connection_faults, read_object
from shared.objects.store import Judge, ListedObject, ObjectTrouble, ReadObject

_AS_THEY_ARE = "/%:@!$&'()*+,;=~"


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
        async with self._asked("GET", name) as answer:
            mtime_ns = _nanoseconds(answer.headers.get("Last-Modified"))
            return await read_object(answer.content, answer.content_length, mtime_ns, judge, most)

    async def status(self, name: str) -> ListedObject:
        """One HEAD."""
        async with self._asked("HEAD", name) as answer:
            mtime_ns = _nanoseconds(answer.headers.get("Last-Modified"))
            if answer.content_length is None:
                raise ObjectTrouble("the service does not say its size")
            return ListedObject(name, answer.content_length, mtime_ns)

    @asynccontextmanager
    async def _asked(self, method: str, name: str) -> AsyncIterator[aiohttp.ClientResponse]:
        session = await self._system.set_session()
        url = URL(f"{self.location}/{quote(name, safe=_AS_THEY_ARE)}", encoded=True)
        headers = {"Accept-Encoding": "identity"}
        with connection_faults():
            async with session.request(method, url, allow_redirects=False, timeout=TIMEOUT, headers=headers) as answer:
                check_status(answer.status)
                yield answer

    def pages(self, after: str | None) -> Iterator[list[ListedObject]]:
        """Not possible."""
        raise LocationUnavailable(
            f"{self.location} is on a web server, which cannot be listed: give a list of URLs with --files"
        )

    async def probe(self) -> None:
        """Asks the server for the prefix; any answer but an error of the server will do."""
        session = await self._system.set_session()
        url = URL(str(self.location), encoded=True)
        with connection_faults():
            async with session.get(url, allow_redirects=False, timeout=TIMEOUT) as answer:
                if answer.status >= 500:
                    check_status(answer.status)


def _nanoseconds(modified: str | None) -> int:
    try:
        return 0 if modified is None else int(parsedate_to_datetime(modified).timestamp()) * 10**9
    except (ValueError, TypeError, OverflowError):
        return 0
