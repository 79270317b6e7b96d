"""A process's connections to the server."""

from functools import cached_property

from shared.config.settings import Settings
from shared.store.redis_client import Client, connect

_QUICK_READ_S = 5.0


class Connections:
    """Clients of the server. Each is created at its first use, so in the process that uses it, after the fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def patient(self) -> Client:
        """For calls that may wait for a busy server."""
        return connect(self._settings)

    @cached_property
    def quick(self) -> Client:
        """For calls during an image's time limit: a hanging server must not look like a hanging image."""
        return connect(self._settings, read_timeout_s=_QUICK_READ_S, connect_timeout_s=2.0, retries=0)

    @cached_property
    def event_loop(self) -> Client:
        """For calls from the main process's event loop, which handles no messages meanwhile."""
        return connect(self._settings, read_timeout_s=_QUICK_READ_S)
