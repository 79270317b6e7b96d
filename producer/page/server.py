"""Serves the page of jobs over HTTP."""

import asyncio
import logging
import os
import secrets
import signal
import socket
from contextlib import suppress

from tornado.httpserver import HTTPServer
from tornado.web import Application

from producer.monitoring.host_names import ANY_ADDRESS, answered_names
from producer.page import handlers
from producer.page.feed import Feed
from producer.page.handlers import Site
from producer.page.jobs_page import JobsPage
from producer.page.login import Login
from producer.page.rendering import script, style
from producer.page.result_files import ResultFiles
from shared.config.logs import log_to_stderr
from shared.config.settings import Settings
from shared.domain.errors import InvalidRequest
from shared.domain.job_names import JOB_NAME
from shared.store.redis_client import connect

_SERVER_PATIENCE_S = 2.0
_IDLE_S = 75.0
_MOST_HEADER_BYTES = 2**15
_MOST_BODY_BYTES = 1024
_PARENT_EVERY_S = 1.0
_KEY = "[0-9a-f]{32}"


def serve_page(
    settings: Settings, address: str, port: int, *, listening: int | None = None, parent_pid: int | None = None
) -> None:
    """Serves until interrupted, whether or not the queue's server can be reached yet. Prints address and user, and the
    password if it is a random one.

    `listening`: the descriptor of a socket that listens already. Ends with the process `parent_pid`.
    """
    log_to_stderr(settings.log_format)
    logging.getLogger("tornado.general").setLevel(logging.WARNING)  # a line for each broken request would fill the log
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(settings, address, port, listening, parent_pid))


async def _serve(settings: Settings, address: str, port: int, listening: int | None, parent_pid: int | None) -> None:
    password = settings.flower_password or secrets.token_urlsafe(12)
    server = HTTPServer(
        make_application(settings, password, address),
        max_header_size=_MOST_HEADER_BYTES,
        max_body_size=_MOST_BODY_BYTES,
        idle_connection_timeout=_IDLE_S,
    )
    if listening is not None:
        taken = socket.socket(fileno=listening)
        taken.setblocking(False)
        server.add_socket(taken)
    else:
        try:
            server.listen(port, address)
        except OSError as error:
            raise InvalidRequest(
                f"The page cannot be served at {address}:{port}: {error.strerror or error}. Give another --port or "
                "--address."
            ) from None
        print(f"Page: {_where(address, port)}, user {settings.flower_user}{_told(settings, password)}", flush=True)
    await _until_ended(parent_pid)


async def _until_ended(parent_pid: int | None) -> None:
    """Returns after SIGTERM, or when the parent process has ended."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    while not ended.is_set() and parent_pid in (None, os.getppid()):
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), _PARENT_EVERY_S)


def _where(address: str, port: int) -> str:
    host = "127.0.0.1" if address in ANY_ADDRESS else f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}"


def _told(settings: Settings, password: str) -> str:
    if settings.flower_password is not None:
        return ""
    return (
        f", password {password}\nThe password is random and new at each start; FACEQUEUE_FLOWER_PASSWORD sets a "
        "permanent one."
    )


def make_application(settings: Settings, password: str, address: str) -> Application:
    """The page's server, for those who know this password."""
    client = connect(settings, read_timeout_s=_SERVER_PATIENCE_S, connect_timeout_s=_SERVER_PATIENCE_S, retries=1)
    files = ResultFiles(settings.results_dir)
    site = Site(
        feed=Feed(JobsPage(client, settings, files).make),
        files=files,
        login=Login(settings.flower_user, password),
        hosts=answered_names(settings.page_host_names, address),
        texts={
            "page.css": ("text/css; charset=utf-8", style()),
            "page.js": ("text/javascript; charset=utf-8", script()),
        },
    )
    shared = {"site": site}
    return Application(
        [
            (r"/", handlers.Page, shared),
            (r"/events", handlers.Events, shared),
            (r"/(page\.css|page\.js)", handlers.Text, shared),
            (rf"/jobs/({JOB_NAME})/([a-z]+\.[a-z]+)", handlers.Table, shared),
            (rf"/jobs/({JOB_NAME})/report", handlers.ReportOfJob, shared),
            (rf"/reports/({_KEY})/({JOB_NAME})/report\.html", handlers.Report, shared),
            (rf"/reports/({_KEY})/({JOB_NAME})/report/([^/]+)/([^/]+)", handlers.ReportData, shared),
            (r"/healthcheck", handlers.Health, shared),
        ],
        default_handler_class=handlers.Missing,
        default_handler_args=shared,
        log_function=lambda handler: None,  # a line for each request would fill the log
    )
