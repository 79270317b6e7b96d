"""The page of jobs that `run --page` serves in a process of its own while the job runs."""

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from producer.local.worker_process import environment_of
from shared.config.settings import Settings
from shared.domain.errors import InvalidRequest

_ADDRESS = "127.0.0.1"
_STOP_TIMEOUT_S = 5.0


class PageProcess:
    """A page on loopback. Its port is taken at once, so that a taken one is known before the job begins."""

    def __init__(self, settings: Settings, log: Path) -> None:
        """`log`: where the output of the process goes. InvalidRequest if the port is taken."""
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._password = settings.flower_password or secrets.token_urlsafe(12)
        self._user, self._has_random = settings.flower_user, settings.flower_password is None
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((_ADDRESS, settings.page_port))
        except OSError as error:
            self._socket.close()
            raise InvalidRequest(
                f"--page: port {settings.page_port} cannot be used: {error.strerror}. Set another FACEQUEUE_PAGE_PORT."
            ) from None
        self._socket.listen()

    def start(self, settings: Settings, say: Callable[[str], None]) -> None:
        """Starts the process, for the server and the queues of these settings, and says where the page is."""
        listening = self._socket.fileno()
        command = [sys.executable, "-m", "producer", "page", "--listening", str(listening)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--parent-pid", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                pass_fds=[listening],
                env=os.environ | environment_of(settings) | {"FACEQUEUE_FLOWER_PASSWORD": self._password},
            )
        told = f", password {self._password}" if self._has_random else ""
        say(f"Page: http://{_ADDRESS}:{self._socket.getsockname()[1]}, user {self._user}{told}")

    def stop(self) -> None:
        """Ends the process."""
        self._socket.close()
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
