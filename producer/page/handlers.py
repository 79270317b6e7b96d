"""Answers of the page's server: the page, its updates, and files of finished jobs. It only reads."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from producer.monitoring.foreign_requests import refusal
from producer.monitoring.host_names import why_unanswered
from producer.page.feed import Feed
from producer.page.login import CHALLENGE, Login
from producer.page.rendering import render_page
from producer.page.result_files import OpenFile, ResultFiles

HOSTS_SETTING = "FACEQUEUE_PAGE_HOSTS"
MOST_WATCHERS = 50
_ALIVE_EVERY_S = 15.0
"""How often a watcher hears something when nothing changes."""
_CHUNK_BYTES = 2**18

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads allow-modals; default-src 'none'; script-src 'unsafe-inline' 'self'; "
    "style-src 'unsafe-inline'; img-src data: blob: 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""A report has an origin of its own (`sandbox`): whatever is in the results folder, it reads no other address here."""
NOTHING_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"


@dataclass
class Site:
    """What all handlers share."""

    feed: Feed
    files: ResultFiles
    login: Login
    hosts: frozenset[str]
    """The names beside loopback's under which it answers."""
    texts: Mapping[str, tuple[str, str]]
    """Fixed files by name: their media types and contents."""
    patience_s: float = 30.0
    """How long a client may take to receive something."""
    watchers: set[object] = field(default_factory=set)


class _Refused(HTTPError):
    """A status, and one line that says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status)
        self.text = text


class _Guarded(RequestHandler):
    """Answers under the server's own names, to its own pages, and to those who know the password."""

    SUPPORTED_METHODS = ("GET", "HEAD")
    policy = PAGE_POLICY

    def initialize(self, site: Site) -> None:
        self.site = site

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Content-Security-Policy", self.policy)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cross-Origin-Opener-Policy", "same-origin")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    def prepare(self) -> None:
        request = self.request
        reason = refusal(
            str(request.method),
            request.headers,
            request.host,
            self.site.hosts,
            server="the page of jobs",
            setting=HOSTS_SETTING,
        )
        if reason is not None:
            raise _Refused(403, reason)
        if not self.site.login.accepts(request.headers.get("Authorization")):
            raise _Refused(401, "Give user and password.")

    async def head(self, *arguments: str) -> None:
        answered = self.get(*arguments)  # Tornado leaves out the content
        if answered is not None:
            await answered

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """One line of text. What was asked for is not repeated."""
        error = kwargs.get("exc_info", (None, None))[1]
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Content-Security-Policy", NOTHING_POLICY)
        if status_code == 401:
            self.set_header("WWW-Authenticate", CHALLENGE)
        self.finish(f"{error.text if isinstance(error, _Refused) else self._reason}\n")

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        if not isinstance(value, HTTPError):
            super().log_exception(typ, value, tb)

    async def send(self, opening: Callable[[], OpenFile]) -> None:
        """Sends a file, as fast as the client takes it; 404 if there is none."""
        run = asyncio.get_running_loop().run_in_executor
        try:
            file = await run(None, opening)
        except OSError:
            raise _Refused(404, "There is no such file.") from None
        with closing(file.content), self.until_gone():
            self.set_header("Content-Type", file.media_type)
            while self.request.method != "HEAD" and (chunk := await run(None, file.content.read, _CHUNK_BYTES)):
                self.write(chunk)
                await self.deliver()

    async def deliver(self) -> None:
        """Waits until the client has taken what was written: no more than that is kept for one who is slow."""
        await asyncio.wait_for(self.flush(), self.site.patience_s)

    @contextmanager
    def until_gone(self) -> Iterator[None]:
        """Ends the block when the client is gone, or takes nothing for too long, which ends its connection."""
        try:
            yield
        except (StreamClosedError, asyncio.CancelledError):
            pass
        except TimeoutError:
            self.detach().close()


class Missing(_Guarded):
    """Every other address."""

    async def get(self) -> None:
        raise HTTPError(404)


class Page(_Guarded):
    """The page. `?page=N` shows older jobs, and is not kept up to date."""

    async def get(self) -> None:
        number = self.get_query_argument("page", "1")
        if not re.fullmatch(r"[1-9][0-9]{0,6}", number):
            raise HTTPError(404)
        if number == "1":
            edition = await self.site.feed.latest()
            self.finish(render_page(edition.html, edition.id))
        else:
            self.finish(render_page(await self.site.feed.older(int(number)), None))


class Events(_Guarded):
    """Updates of the page as server-sent events. One who is slow misses some, and gets the latest."""

    async def get(self) -> None:
        if len(self.site.watchers) >= MOST_WATCHERS:
            raise _Refused(503, "Too many browsers watch this page.")
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        if self.request.method == "HEAD":
            return
        self._task = asyncio.current_task()
        self.site.watchers.add(self)
        try:
            with self.until_gone():
                await self._watch(self.get_query_argument("seen", ""))
        finally:
            self.site.watchers.discard(self)

    def on_connection_close(self) -> None:
        task = getattr(self, "_task", None)
        if task is not None:
            task.cancel()

    async def _watch(self, seen: str) -> None:
        await self.deliver()
        while True:
            try:
                edition = await asyncio.wait_for(self.site.feed.other_than(seen), _ALIVE_EVERY_S)
            except TimeoutError:
                self.write(": nothing new\n\n")
            else:
                seen = edition.id
                self.write(f"data: {json.dumps(edition.html)}\n\n")
            await self.deliver()


class Text(_Guarded):
    """The page's style and script."""

    async def get(self, name: str) -> None:
        media_type, content = self.site.texts[name]
        self.set_header("Content-Type", media_type)
        self.finish(content)


class Table(_Guarded):
    """A table of a finished job, to download."""

    policy = NOTHING_POLICY

    async def get(self, job: str, name: str) -> None:
        self.set_header("Content-Disposition", f'attachment; filename="{job}-{name}"')
        await self.send(partial(self.site.files.open_table, job, name))


class ReportOfJob(_Guarded):
    """Leads to the report of a finished job."""

    policy = NOTHING_POLICY

    async def get(self, job: str) -> None:
        # With the host: a relative address would take over user and password from the one that was typed, and the
        # report could read them there.
        host = urlsplit(f"//{self.request.host}").netloc.rpartition("@")[2]
        self.set_status(303)
        self.set_header("Location", f"//{host}/reports/{self.site.files.key_of(job)}/{job}/report.html")


class Report(_Guarded):
    """The report of a finished job."""

    policy = REPORT_POLICY

    async def get(self, key: str, job: str) -> None:
        if not self.site.files.is_key_of(job, key):
            raise _Refused(404, f"This address is no longer valid: /jobs/{job}/report leads to the report.")
        await self.send(partial(self.site.files.open_report, job))


class ReportData(_Guarded):
    """What a large report loads. Its origin is its own, so that browsers send no password: the address is secret."""

    policy = NOTHING_POLICY

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Cross-Origin-Resource-Policy", "cross-origin")

    def prepare(self) -> None:
        reason = why_unanswered(self.request.host, self.site.hosts, HOSTS_SETTING)
        if reason is not None:
            raise _Refused(403, reason)

    async def get(self, key: str, job: str, folder: str, name: str) -> None:
        if not self.site.files.is_key_of(job, key):
            raise HTTPError(404)
        await self.send(partial(self.site.files.open_report_data, job, folder, name))


class Health(_Guarded):
    """Whether the process answers, for health checks."""

    def prepare(self) -> None:
        reason = why_unanswered(self.request.host, self.site.hosts, HOSTS_SETTING)
        if reason is not None:
            raise _Refused(403, reason)

    async def get(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("OK\n")
