"""The table of workers, on a terminal updated every second."""

import sys
import time

from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from producer.console.tables import NO_WORKERS, print_workers, workers_table
from shared.config.settings import Settings
from shared.domain.errors import ServerError
from shared.store.redis_client import Client, explain_server_errors
from shared.store.worker_registry import living_workers

_EVERY_S = 1.0


def show_workers(client: Client, settings: Settings, *, once: bool) -> None:
    """Shows the table of workers: on a terminal until Ctrl-C, elsewhere once."""
    if once or not sys.stdout.isatty():
        with explain_server_errors(settings):
            print_workers(living_workers(client))
        return
    with Live(auto_refresh=False, vertical_overflow="visible") as live:
        try:
            while True:
                live.update(_look(client, settings), refresh=True)
                time.sleep(_EVERY_S)
        except KeyboardInterrupt:
            pass  # the last table stays on the screen


def _look(client: Client, settings: Settings) -> RenderableType:
    try:
        with explain_server_errors(settings):
            workers = living_workers(client)
    except ServerError as error:  # the server may come back
        return Text(str(error))
    return workers_table(workers) if workers else Text(NO_WORKERS)
