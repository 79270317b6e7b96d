"""Updates for many watchers: one look at the server for all of them, and no memory for those who are slow."""

import asyncio
import base64
import itertools
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from producer.page import handlers
from producer.page.feed import Feed
from producer.page.handlers import Events, Site
from producer.page.login import Login
from producer.page.result_files import ResultFiles

_LOGIN = base64.b64encode(b"me:secret").decode()
_REQUEST = f"GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {_LOGIN}\r\n\r\n".encode()


def test_all_watchers_share_one_look_and_nobody_costs_none() -> None:
    """However many watch, a page is made once an interval; an unchanged one wakes nobody."""
    made: list[int] = []

    def make(page: int) -> str:
        made.append(page)
        return f"state {len(made) // 3}"  # changes with every third

    async def play() -> None:
        feed = Feed(make, every_s=0.05)
        first = await feed.latest()
        assert (await feed.latest()) is first and made == [1]
        await asyncio.sleep(0.2)
        assert made == [1], "nobody watched"
        heard = await asyncio.gather(*(feed.other_than(first.id) for _ in range(20)))
        assert {edition.html for edition in heard} == {"state 1"} and len(made) == 3
        assert await feed.older(7) == "state 1" and made[-1] == 7

    asyncio.run(play())


def test_a_failed_look_is_an_error_for_those_who_asked_only() -> None:
    """The next one is tried."""
    answers = iter([ValueError("a defect"), "fine"])

    def make(page: int) -> str:
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    async def play() -> None:
        feed = Feed(make, every_s=0.0)
        with pytest.raises(ValueError, match="a defect"):
            await feed.latest()
        assert (await feed.latest()).html == "fine"

    asyncio.run(play())


def _serve(site: Site, play: Callable[[int], Awaitable[None]]) -> None:
    async def serve() -> None:
        sock, port = bind_unused_port()
        server = HTTPServer(Application([("/events", Events, {"site": site})]))
        server.add_socket(sock)
        await play(port)
        server.stop()

    asyncio.run(serve())


async def _open(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    writer.write(_REQUEST)
    await writer.drain()
    return reader, writer


def _silent(port: int) -> socket.socket:
    """A client that asks, and reads nothing."""
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(_REQUEST)
    return client


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def _next_state(reader: asyncio.StreamReader) -> int:
    while not (line := await reader.readline()).startswith(b"data: "):
        assert line
    return int(json.loads(line.removeprefix(b"data: ").strip()).split()[0])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Pages of 2 MB that always change."""
    numbers = itertools.count()
    feed = Feed(lambda page: f"{next(numbers)} {'x' * 2_000_000}", every_s=0.01)
    return Site(feed, ResultFiles(tmp_path), Login("me", "secret"), frozenset(), {}, patience_s=1.5)


def test_one_who_takes_nothing_misses_states_and_is_disconnected(site: Site) -> None:
    """Others are not kept waiting. Of what was missed nothing is kept."""

    async def play(port: int) -> None:
        stuck = _silent(port)
        reader, writer = await _open(port)
        await _until(lambda: len(site.watchers) == 2)
        states = [await _next_state(reader) for _ in range(10)]
        assert states == sorted(set(states))
        waiting = [watcher.request.connection.stream.writing() for watcher in site.watchers]
        assert any(waiting), "one does not read"
        sizes = [len(watcher.request.connection.stream._write_buffer) for watcher in site.watchers]
        assert max(sizes) < 5_000_000, "no more than one state waits for it"
        reading = asyncio.ensure_future(_drain(reader))
        await _until(lambda: len(site.watchers) == 1)
        reading.cancel()
        writer.close()
        await _until(lambda: not site.watchers)
        stuck.close()

    _serve(site, play)


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.readline():
        pass


def test_only_so_many_may_watch(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is told so, and may come when another has gone."""
    monkeypatch.setattr(handlers, "MOST_WATCHERS", 1)

    async def play(port: int) -> None:
        first, writer = await _open(port)
        assert b"200" in await first.readline()
        second, other = await _open(port)
        assert b"503" in await second.readline()
        writer.close()
        other.close()
        await _until(lambda: not site.watchers)
        third, last = await _open(port)
        assert b"200" in await third.readline()
        last.close()

    _serve(site, play)
