"""The latest state of the page, made once for all who watch it."""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass


@dataclass(frozen=True)
class Edition:
    """The page as it was made at one moment."""

    id: str
    """A digest of its content, also across restarts of this process."""
    html: str


class Feed:
    """Makes an edition at most once every `every_s`, however many ask, and none while nobody asks."""

    def __init__(self, make: Callable[[int], str], every_s: float = 1.0) -> None:
        """`make` returns the HTML of a page of jobs, counted from 1. It may block; calls never overlap."""
        self._make, self._every_s = make, every_s
        self._thread = ThreadPoolExecutor(1, "page")
        self._lock = asyncio.Lock()
        self._latest = Edition("", "")
        self._due = 0.0

    async def latest(self) -> Edition:
        """The first page of jobs, at most `every_s` old."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            if loop.time() >= self._due:
                html = await loop.run_in_executor(self._thread, self._make, 1)
                self._due = loop.time() + self._every_s
                if html != self._latest.html:
                    self._latest = Edition(hashlib.blake2b(html.encode(), digest_size=8).hexdigest(), html)
            return self._latest

    async def older(self, page: int) -> str:
        """Another page of jobs, made for the one who asks."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._make, page)

    async def other_than(self, seen: str) -> Edition:
        """An edition with another id: at once if the latest one has another."""
        while True:
            edition = await self.latest()
            if edition.id != seen:
                return edition
            await asyncio.sleep(max(0.0, self._due - asyncio.get_running_loop().time()))
