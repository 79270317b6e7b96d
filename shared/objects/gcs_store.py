"""Google Cloud Storage. gcsfs finds the credentials and makes the session; three requests of its JSON API do."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp
from fsspec.asyn import sync
from gcsfs.core import GCSFileSystem
from gcsfs.retry import HttpError
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from yarl import URL

from shared.domain.errors import LocationUnavailable
from shared.domain.locations import Location
from shared.objects.reading import TIMEOUT, check_status, connection_faults, read_object
from shared.objects.store import (
    LISTING_PATIENCE_S,
    Judge,
    ListedObject,
    NetworkFault,
    ReadObject,
    retried,
)

_FIELDS = "nextPageToken,items(name,size,generation)"


class GcsStore:
    """The objects of a bucket whose names begin with the location's folder.

    The generation of an object is the time in us at which its bytes were written; the time of its metadata also changes
    when the bytes do not.
    """

    def __init__(self, location: Location) -> None:
        self.location = location
        self._system = _open_system(location)
        self._bucket = f"{self._system.base}b/{quote(location.authority, safe='')}/o"

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """gcsfs's."""
        loop: asyncio.AbstractEventLoop = self._system.loop
        return loop

    async def read(self, name: str, judge: Judge, most: int) -> ReadObject:
        """One GET."""
        url = f"{self._bucket}/{quote(self.location.prefix + name, safe='')}?alt=media"
        async with self._get(url, {"Accept-Encoding": "identity"}) as answer:
            check_status(answer.status)
            generation = answer.headers.get("X-Goog-Generation", "")
            mtime_ns = int(generation) * 1000 if generation.isdecimal() else 0
            return await read_object(answer.content, answer.content_length, mtime_ns, judge, most)

    async def status(self, name: str) -> ListedObject:
        """One GET of the object's metadata."""
        url = f"{self._bucket}/{quote(self.location.prefix + name, safe='')}?fields=name,size,generation"
        async with self._get(url, {}) as answer:
            check_status(answer.status)
            return self._listed(await _json_of(answer))

    def pages(self, after: str | None) -> Iterator[list[ListedObject]]:
        """The names as the service sorts them; the listing begins at `after`, which is left out."""
        place = {} if after is None else {"startOffset": self.location.prefix + after}
        while True:
            answer = sync(self.loop, self._page, place)
            yield [found for entry in answer.get("items", []) if (found := self._listed(entry)).name != after]
            if not answer.get("nextPageToken"):
                return
            place = place | {"pageToken": answer["nextPageToken"]}

    async def probe(self) -> None:
        """Lists one object."""
        if not (await self._list(maxResults="1")).get("items"):
            raise LocationUnavailable(f"{self.location} has no objects")

    def _listed(self, entry: dict[str, Any]) -> ListedObject:
        name = str(entry["name"])[len(self.location.prefix) :]
        return ListedObject(name, int(entry["size"]), int(entry["generation"]) * 1000)

    async def _page(self, place: dict[str, str]) -> Any:
        return await retried(LISTING_PATIENCE_S, lambda: self._list(**place))

    async def _list(self, **more: str) -> Any:
        values = {"prefix": self.location.prefix, "fields": _FIELDS} | more
        query = "&".join(f"{key}={quote(value, safe='')}" for key, value in values.items())
        async with self._get(f"{self._bucket}?{query}", {}) as answer:
            if answer.status == 404:
                raise LocationUnavailable(f"{self.location} cannot be read: there is no such bucket")
            check_status(answer.status)
            return await _json_of(answer)

    @asynccontextmanager
    async def _get(self, url: str, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        session = await self._system._set_session()  # gcsfs has no other name for it
        try:
            await asyncio.to_thread(self._system.credentials.apply, headers)  # it may ask for a new token
        except TransportError:
            raise NetworkFault("the service for credentials did not answer") from None
        except (GoogleAuthError, HttpError):
            raise LocationUnavailable(f"{self.location} cannot be read: its credentials are not accepted") from None
        with connection_faults():
            async with session.get(
                URL(url, encoded=True), headers=headers, allow_redirects=False, timeout=TIMEOUT
            ) as answer:
                if answer.status == 401:
                    raise LocationUnavailable(
                        f"{self.location} cannot be read: there are no credentials for it, or they are not accepted"
                    )
                yield answer


async def _json_of(answer: aiohttp.ClientResponse) -> Any:
    try:
        return await answer.json(content_type=None)
    except ValueError:
        raise NetworkFault("the answer is not JSON") from None


def _open_system(location: Location) -> GCSFileSystem:
    """gcsfs with the credentials of the environment, or with none: a bucket may be public."""
    common = {"access": "read_only", "skip_instance_cache": True, "use_listings_cache": False}
    if "STORAGE_EMULATOR_HOST" in os.environ:  # gcsfs reads its address there
        return GCSFileSystem(token="anon", **common)  # noqa: S106 - the name of a method
    try:
        return GCSFileSystem(token="google_default", **common)  # noqa: S106
    except DefaultCredentialsError:
        return GCSFileSystem(token="anon", **common)  # noqa: S106
    except GoogleAuthError:
        raise LocationUnavailable(f"{location} cannot be read: its credentials are not accepted") from None
