"""A test's own server, with the workers and commands that use it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from producer.local.redis_server import EmbeddedServer
from shared.config.settings import Settings
from shared.store.redis_client import connect
from tests.support.home import TEST_SERVER

ROOT = Path(__file__).parents[2]
WORKER_LOG = "worker.log"
"""The log of every worker of a stage."""


def wait_until(condition: Callable[[], object], timeout_s: float = 60.0, what: str = "condition") -> None:
    """Returns as soon as the condition holds; fails after the timeout."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


class Stage:
    """A server, and the commands and workers that use it."""

    def __init__(self, folder: Path, server: EmbeddedServer | None = None) -> None:
        """With `server`, an existing server that outlives the stage."""
        self.folder = folder
        self.server = server or EmbeddedServer(folder / "server", os.environ.get(TEST_SERVER, ""))
        self._owns_server = server is None
        if self._owns_server:
            self.server.start()
        self.results = folder / "results"
        self.environment = os.environ | {
            "REDIS_URL": self.server.url,
            "FACEQUEUE_RESULTS_DIR": str(self.results),
            "FACEQUEUE_STATE_DIR": str(folder / "state"),
            "FACEQUEUE_LEASE_S": "3",
            "FACEQUEUE_CACHE_TTL_S": "0",
            "FACEQUEUE_WORKER_TIMEOUT_S": "30",
            "PYTHONPATH": str(ROOT),
        }
        self.settings = Settings(_env_file=None, redis_url=self.server.url, lease_s=3, results_dir=self.results)
        self.client = connect(self.settings)
        self.processes: list[subprocess.Popen[bytes]] = []
        self._workers: list[subprocess.Popen[bytes]] = []

    def producer(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs `python -m producer ...` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "producer", *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self.folder,
        )

    def spawn(self, *arguments: str, log: str = "process.log", **environment: str) -> subprocess.Popen[bytes]:
        """Starts `python -m ...` in the background."""
        with (self.folder / log).open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                cwd=self.folder,
            )
        self.processes.append(process)
        if log == WORKER_LOG:
            self._workers.append(process)
        return process

    def worker(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Starts a worker and waits until it is ready."""
        before = self.log(WORKER_LOG).count(" ready.")
        process = self.spawn("worker", *arguments, log=WORKER_LOG, **environment)
        wait_until(
            lambda: self.log(WORKER_LOG).count(" ready.") > before or process.poll() is not None, 120, "worker ready"
        )
        assert process.poll() is None, self.log(WORKER_LOG)
        return process

    def log(self, name: str) -> str:
        """The output of a background process so far."""
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""

    def restart_server(self, *, killed: bool = True) -> None:
        """Ends the server, with SIGKILL or cleanly, and restarts it with its data."""
        if killed:
            self.server.kill()
        else:
            self.server.stop()
        self.server.start()

    @staticmethod
    def free_port() -> int:
        """A free port on loopback."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    def close(self) -> None:
        """Ends everything that was started: workers with SIGKILL, because a clean end takes them seconds."""
        alive = [process for process in self.processes if process.poll() is None]
        for process in alive:
            if process in self._workers:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.terminate()
        for process in alive:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if self._owns_server:
            self.server.stop()
