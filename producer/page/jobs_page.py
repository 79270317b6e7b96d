"""Makes the page from what the server says. While it does not answer, the page keeps what it showed last."""

import time
from datetime import UTC, datetime

from producer.page.rendering import render_live
from producer.page.result_files import ResultFiles
from producer.page.snapshot import Snapshot, read_snapshot
from producer.page.speeds import Speeds
from producer.page.view import View, make_view
from producer.page.waiting import WaitingReader
from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.domain.errors import ServerError
from shared.store.redis_client import Client, explain_server_errors

_log = get_logger("page")


class JobsPage:
    """What is remembered between two looks at the server."""

    def __init__(self, client: Client, settings: Settings, files: ResultFiles) -> None:
        self._client, self._settings, self._files = client, settings, files
        self._speeds, self._waiting = Speeds(), WaitingReader(client, settings)
        self._last: View | None = None
        self._answered_at = ""
        self._was_up = True

    def make(self, page: int) -> str:
        """The HTML of what changes on a page of jobs, counted from 1."""
        try:
            with explain_server_errors(self._settings):
                snapshot = read_snapshot(self._client, self._waiting, page)
        except ServerError as error:
            if self._was_up:
                _log.warning("%s", error, extra={"action": "server_away"})
            self._was_up = False
            return render_live(self._last if page == 1 else None, self._problem(error))
        self._was_up = True
        view = self._view(snapshot, page)
        if page == 1:
            self._last, self._answered_at = view, f"{datetime.now(UTC):%H:%M:%S} UTC"
        return render_live(view, "")

    def _view(self, snapshot: Snapshot, page: int) -> View:
        if page == 1:
            self._speeds.note(snapshot.jobs, time.monotonic())
            self._files.forget_all_but(snapshot.jobs)
        return make_view(snapshot, self._speeds, self._files, page, self._settings.job_ttl_s)

    def _problem(self, error: ServerError) -> str:
        old = f" Below is what it said last, at {self._answered_at}." if self._last is not None else ""
        return f"{error}{old} This page goes on by itself when it answers."
