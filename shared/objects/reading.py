"""Reading one object from an answer, and the errors of plain HTTP: the same for all services."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import aiohttp

from shared.domain.image_formats import HEAD_BYTES
from shared.objects.store import (
    CONNECT_S,
    READ_S,
    AccessRefused,
    Judge,
    NetworkFault,
    ObjectTrouble,
    ReadObject,
)

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S)


class Body(Protocol):
    """The body of an answer."""

    async def read(self, size: int, /) -> bytes:
        """The next bytes, at most `size`; none at the end."""


async def read_object(body: Body, size: int | None, mtime_ns: int, judge: Judge, most: int) -> ReadObject:
    """The object in an answer, at most `most` bytes of it. `judge` decides after the first bytes whether to go on."""
    head = await _read_up_to(body, HEAD_BYTES)
    judge(head, size, mtime_ns)
    data = head + await _read_up_to(body, most - len(head))
    if size is not None and len(data) < min(size, most):
        raise NetworkFault("the answer was cut short")
    return ReadObject(data, mtime_ns)


async def _read_up_to(body: Body, size: int) -> bytes:
    parts, left = [], size
    while left > 0 and (part := await body.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


@contextmanager
def connection_faults() -> Iterator[None]:
    """Raises NetworkFault for what aiohttp raises when a connection fails."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise NetworkFault(f"the connection failed ({type(error).__name__})") from None


def check_status(status: int) -> None:
    """ObjectTrouble if a service did not answer with the object."""
    if status == 200:
        return
    if status >= 500 or status in (408, 429):
        raise NetworkFault(f"the service answered with an error ({status})")
    if status in (404, 410):
        raise ObjectTrouble("there is no such object")
    if status in (401, 403):
        raise AccessRefused("access denied")
    if 300 <= status < 400:
        raise ObjectTrouble("the server redirects to another address, and redirects are not followed")
    raise ObjectTrouble(f"the service refuses to give it ({status})")
