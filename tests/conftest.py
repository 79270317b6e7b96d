"""Fixtures: the sample folder, the networks, a real server and real workers."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.home import HOME_GUARD  # before what reads the user's folders when it is imported

# isort: split
from producer.embedded import EmbeddedServer
from producer.sample import write_sample
from shared.contract import KNOWN_WEIGHTS
from shared.server import connect
from shared.settings import Settings
from worker import models
from worker.pipeline import Networks

# A shell that starts the tests in the background has them, and all they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
PHOTOGRAPHS = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    # Networks are converted by the code under test, not found from before: a mistake in the conversion must show. Once is
    # enough for all processes of pytest-xdist, each of which has a folder of its own beside the others'.
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    os.environ["FACEQUEUE_CACHE_DIR"] = str(folder / "cache")


@pytest.fixture(autouse=True)
def _nothing_of_the_users_home() -> Iterator[None]:
    # Also where the code under test has caught the refusal.
    yield
    writes, HOME_GUARD.writes = HOME_GUARD.writes, []
    assert not writes, f"this test {writes[0]}"


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample folder."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    return folder


@pytest.fixture(scope="session")
def networks() -> Networks:
    """The real networks, in this process, on one thread."""
    settings = Settings(_env_file=None)
    name = "casia-webface"
    return models.load_networks(name, KNOWN_WEIGHTS[name], settings, 1)


@pytest.fixture(scope="session")
def photographs() -> Path:
    """Real photographs beside the checkout; tests that need them are left out where they are not."""
    if not PHOTOGRAPHS.is_dir():
        pytest.skip("no photographs beside the checkout")
    return PHOTOGRAPHS


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A folder for trees that Python's own recursive removal cannot take down."""
    folder = tmp_path / "deep"
    folder.mkdir()
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def wait_until(condition: Callable[[], object], timeout_s: float = 60.0, what: str = "condition") -> None:
    """Returns as soon as the condition holds; fails after the timeout."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


class Stage:
    """A server of its own, and commands and workers that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = EmbeddedServer(folder / "server")
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

    def producer(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs `python -m producer ...` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "producer", *arguments],
            env=self.environment | environment, capture_output=True, text=True, timeout=120, cwd=self.folder,
        )  # fmt: skip

    def spawn(self, *arguments: str, log: str = "process.log", **environment: str) -> subprocess.Popen[bytes]:
        """Starts `python -m ...` in the background."""
        with (self.folder / log).open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments], env=self.environment | environment, stdin=subprocess.DEVNULL,
                stdout=file, stderr=file, start_new_session=True, cwd=self.folder,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def worker(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Starts a worker; returns when it is ready."""
        before = self.log("worker.log").count(" ready.")
        process = self.spawn("worker", *arguments, log="worker.log", **environment)
        wait_until(
            lambda: self.log("worker.log").count(" ready.") > before or process.poll() is not None, 120, "worker ready"
        )
        assert process.poll() is None, self.log("worker.log")
        return process

    def log(self, name: str) -> str:
        """What a background process has written so far."""
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""

    def restart_server(self, *, killed: bool = True) -> None:
        """Ends the server, with SIGKILL or in good order, and starts it again on its data."""
        if killed:
            self.server.kill()
        else:
            self.server.stop()
        self.server.start()

    @staticmethod
    def free_port() -> int:
        """A port on loopback that nobody listens on just now."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    def close(self) -> None:
        """Ends everything that was started."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()
        self.server.stop()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A fresh server; everything started on it is ended with the test."""
    made = Stage(tmp_path)
    yield made
    made.close()
