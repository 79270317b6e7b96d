"""The embedded server of a data folder, for all `run`s that use it at the same time. The last one stops it."""

import fcntl
import time
from pathlib import Path

from producer.local.redis_server import EmbeddedServer
from shared.domain.errors import ServerError
from shared.domain.file_locks import try_lock

_PATIENCE_S = 30.0
"""How long to wait for a `run` that is stopping the server."""


class SharedServer:
    """Each `run` holds a shared lock on `users` while it uses the server."""

    def __init__(self, folder: Path) -> None:
        """The folder must exist."""
        self._folder = folder
        self._server = EmbeddedServer(folder)
        self._users = (folder / "users").open("a")

    @property
    def url(self) -> str:
        """The value for REDIS_URL; `wait` may still change it."""
        return self._server.url

    def begin(self) -> None:
        """Launches the server, or finds a running one, without waiting until it answers."""
        deadline = time.monotonic() + _PATIENCE_S
        while not try_lock(self._users.fileno(), fcntl.LOCK_SH):
            if time.monotonic() > deadline:
                raise ServerError(
                    f"Another `run` has been stopping the embedded server of {self._folder} for {_PATIENCE_S:.0f} s. "
                    "Repeat the command when it has ended."
                )
            time.sleep(0.01)
        self._server.begin()

    def wait(self) -> None:
        """Waits until the server answers."""
        self._server.start()

    def ensure(self) -> bool:
        """Restarts the server at the same address if it has died; True if this process did."""
        return self._server.ensure()

    def release(self) -> None:
        """Stops the server, unless another `run` uses it."""
        # Where two are the last, at least one gets the lock: changing the kind of a lock gives up the old one first.
        if try_lock(self._users.fileno()):
            self._server.find_again()
            self._server.stop()
        self._users.close()
