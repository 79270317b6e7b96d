"""S3 and services that speak its protocol. s3fs makes the client, so its settings and boto's own ones apply."""

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from fsspec.asyn import sync
from s3fs import S3FileSystem

from shared.domain.errors import LocationUnavailable
from shared.domain.locations import Location
from shared.objects.reading import read_object
from shared.objects.store import (
    CONNECT_S,
    LISTING_PATIENCE_S,
    READ_S,
    AccessRefused,
    Judge,
    ListedObject,
    NetworkFault,
    ObjectTrouble,
    ReadObject,
    retried,
)

_CONNECTIONS = 32
_OF_THE_PLACE = {
    "NoSuchBucket": "there is no such bucket",
    "InvalidBucketName": "there is no such bucket",
    "AllAccessDisabled": "access to it is turned off",
    "InvalidAccessKeyId": "the access key is unknown to the service",
    "SignatureDoesNotMatch": "the secret key does not match",
    "ExpiredToken": "the session token has expired",
    "InvalidToken": "the session token is invalid",
    "PermanentRedirect": "the bucket is in another region",
    "AuthorizationHeaderMalformed": "the bucket is in another region",
}
_FAULTS = {
    "SlowDown",
    "RequestTimeout",
    "RequestTimeoutException",
    "Throttling",
    "ThrottlingException",
    "InternalError",
}
_NO_CREDENTIALS = (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)


class S3Store:
    """The objects of a bucket whose keys begin with the location's folder."""

    def __init__(self, location: Location) -> None:
        self.location = location
        # boto's own retries cannot be told what is worth repeating; one place decides (`retried`).
        config = {"retries": {"total_max_attempts": 1}, "connect_timeout": CONNECT_S, "read_timeout": READ_S}
        self._system = S3FileSystem(
            config_kwargs=config | {"max_pool_connections": _CONNECTIONS},
            skip_instance_cache=True,
            use_listings_cache=False,
        )

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """s3fs's."""
        loop: asyncio.AbstractEventLoop = self._system.loop
        return loop

    async def read(self, name: str, judge: Judge, most: int) -> ReadObject:
        """One GET."""
        key = self.location.prefix + name
        try:
            client = await self._client()
            answer = await client.get_object(Bucket=self.location.authority, Key=key)
            size, mtime_ns = int(answer["ContentLength"]), int(answer["LastModified"].timestamp()) * 10**9
            async with answer["Body"] as body:
                return await read_object(body, size, mtime_ns, judge, most)
        except Exception as error:
            raise self._explained(error) from None

    async def status(self, name: str) -> ListedObject:
        """One HEAD."""
        try:
            client = await self._client()
            found = await client.head_object(Bucket=self.location.authority, Key=self.location.prefix + name)
        except Exception as error:
            raise self._explained(error) from None
        return ListedObject(name, int(found["ContentLength"]), int(found["LastModified"].timestamp()) * 10**9)

    def pages(self, after: str | None) -> Iterator[list[ListedObject]]:
        """The keys as S3 sorts them; the listing begins at the one after `after`."""
        place: dict[str, str] = {} if after is None else {"StartAfter": self.location.prefix + after}
        while True:
            answer = sync(self.loop, self._page, place)
            yield [
                ListedObject(
                    entry["Key"][len(self.location.prefix) :],
                    int(entry["Size"]),
                    int(entry["LastModified"].timestamp()) * 10**9,
                )
                for entry in answer.get("Contents", [])
            ]
            if not answer.get("IsTruncated"):
                return
            place = {"ContinuationToken": answer["NextContinuationToken"]}

    async def _page(self, place: dict[str, str]) -> Any:
        return await retried(LISTING_PATIENCE_S, lambda: self._list(**place))

    async def probe(self) -> None:
        """Lists one object."""
        answer = await self._list(MaxKeys=1)
        if not answer.get("Contents"):
            raise LocationUnavailable(f"{self.location} has no objects")

    async def _list(self, **more: Any) -> Any:
        try:
            client = await self._client()
            return await client.list_objects_v2(Bucket=self.location.authority, Prefix=self.location.prefix, **more)
        except Exception as error:
            raise self._explained(error) from None

    async def _client(self) -> Any:
        return await self._system.set_session()

    def _explained(self, error: Exception) -> Exception:
        """The error as one of ours. What is not of the service is returned as it is."""
        match error:
            case boto.ClientError():
                return self._of_answer(error)
            case _ if isinstance(error, _NO_CREDENTIALS):
                return LocationUnavailable(f"{self.location} cannot be read: there are no credentials for it")
            case boto.HTTPClientError() | ResponseParserError() | boto.IncompleteReadError():
                return NetworkFault(f"the connection failed ({type(error).__name__})")
            case boto.BotoCoreError():
                return LocationUnavailable(f"{self.location} cannot be read: boto refuses it ({type(error).__name__})")
            case aiohttp.ClientError() | TimeoutError() | OSError():
                return NetworkFault(f"the connection failed ({type(error).__name__})")
        return error

    def _of_answer(self, error: boto.ClientError) -> Exception:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _OF_THE_PLACE:
            return LocationUnavailable(f"{self.location} cannot be read: {_OF_THE_PLACE[code]} ({code})")
        if status >= 500 or status == 429 or code in _FAULTS:
            return NetworkFault(f"the service answered with an error ({status})")
        if status == 404:
            return ObjectTrouble("there is no such object")
        if status in (401, 403):
            return AccessRefused("access denied")
        return ObjectTrouble(f"the service refuses to give it ({status})")
