"""Several `run`s at once on one data folder, in separate processes: each ends as if it were alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support.results import result_bytes
from tests.support.stage import ROOT, wait_until


class _Terminal:
    """Starts `run`s with one data folder, and kills those that are left."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        self._environment = os.environ | {
            "FACEQUEUE_STATE_DIR": str(self.state),
            "FACEQUEUE_CACHE_TTL_S": "0",
            "PYTHONPATH": str(ROOT),
        }
        self._environment.pop("REDIS_URL", None)
        self._started: list[subprocess.Popen[str]] = []

    def run(self, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "producer", "run", *map(str, arguments), "--results", "out", "--workers", "1"],
            env=self._environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def server(self) -> psutil.Process | None:
        try:
            return psutil.Process(json.loads((self.state / "server" / "server.json").read_text())["pid"])
        except (OSError, ValueError, psutil.Error):
            return None

    def log(self, name: str = "worker.log") -> str:
        path = self.state / name
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        server = self.server()
        if server is not None:
            with suppress(psutil.Error):
                server.kill()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[_Terminal]:
    terminal = _Terminal(tmp_path)
    yield terminal
    terminal.close()


@pytest.fixture(scope="module")
def photos(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample folder four times: enough work for several seconds, because nothing is cached here."""
    folder = tmp_path_factory.mktemp("several") / "photos"
    for copy in ("a", "b", "c", "d"):
        shutil.copytree(sample, folder / copy)
    return folder


@pytest.fixture(scope="module")
def alone(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the photos from a `run` that was alone."""
    terminal = _Terminal(tmp_path_factory.mktemp("alone"))
    done = terminal.run(photos, "--job", "alone")
    _, said = done.communicate(timeout=120)
    assert done.returncode == 3, said
    return terminal.folder / "out" / "alone"


def test_two_folders_at_once(photos: Path, alone: Path, terminal: _Terminal) -> None:
    """Both start at once, with one server, separate logs and one results folder. The last one stops the server."""
    first, second = terminal.run(photos, "--job", "first"), terminal.run(photos / "a" / "hopper", "--job", "second")
    said = [process.communicate(timeout=120)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (3, 0), said
    assert result_bytes(terminal.folder / "out" / "first") == result_bytes(alone)
    assert "stored" in terminal.log() and "stored" in terminal.log("worker-2.log")
    wait_until(lambda: terminal.server() is None, 10, "the server has ended")
    assert not list((terminal.state / "running").iterdir())


def test_the_same_folder_twice_at_once(photos: Path, alone: Path, terminal: _Terminal) -> None:
    """Two names give two jobs. The same name or command is refused, with what to do."""
    first = terminal.run(photos, "--job", "first", "--batch-size", 2)
    wait_until(lambda: "stored" in terminal.log(), 60, "a batch is done")
    again = terminal.run(photos, "--job", "first", "--batch-size", 2)
    _, said = again.communicate(timeout=60)
    assert again.returncode == 4 and "Another `run` is at work on job first" in said and "another --job" in said
    other = terminal.run(photos / "a" / "hopper", "--job", "first", "--batch-size", 2)
    _, said = other.communicate(timeout=60)
    assert other.returncode == 2 and "Job 'first' is there already" in said
    second = terminal.run(photos, "--job", "second", "--batch-size", 2)
    said = [process.communicate(timeout=120)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (3, 3), said
    for name in ("first", "second"):
        assert result_bytes(terminal.folder / "out" / name) == result_bytes(alone)


def test_the_same_command_twice_at_once(photos: Path, alone: Path, terminal: _Terminal) -> None:
    """The first one processes the folder; the other one says so and changes nothing."""
    both = [terminal.run(photos), terminal.run(photos)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert sorted(process.returncode for process in both) == [3, 4], said
    assert any("with the same options" in text for text in said)
    (folder,) = (terminal.folder / "out").iterdir()
    assert result_bytes(folder) == result_bytes(alone)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_one_run_ends_while_another_goes_on(
    photos: Path, alone: Path, terminal: _Terminal, ending: signal.Signals
) -> None:
    """The one that started the server is interrupted or killed. The other one finishes, and the first job resumes by
    name.
    """
    first = terminal.run(photos, "--job", "first", "--batch-size", 1)
    wait_until(lambda: "stored" in terminal.log(), 60, "a batch is done")
    second = terminal.run(photos, "--job", "second", "--batch-size", 1)
    wait_until(lambda: "stored" in terminal.log("worker-2.log"), 60, "a batch of the other is done")
    first.send_signal(ending)
    first.communicate(timeout=60)
    assert first.returncode == (4 if ending == signal.SIGINT else -signal.SIGKILL)
    assert second.poll() is None
    resumed = terminal.run(photos, "--job", "first", "--batch-size", 1)
    said = [process.communicate(timeout=120)[1] for process in (second, resumed)]
    assert (second.returncode, resumed.returncode) == (3, 3), said
    assert "Resuming job first" in said[1] and "restarted" not in said[0]
    for name in ("first", "second"):
        assert result_bytes(terminal.folder / "out" / name) == result_bytes(alone)
    wait_until(lambda: terminal.server() is None, 10, "the server has ended")


def test_the_server_is_killed_under_two_runs(photos: Path, alone: Path, terminal: _Terminal) -> None:
    """One of them restarts it, and both finish."""
    runs = [terminal.run(photos, "--job", name, "--batch-size", 1) for name in ("first", "second")]
    for log in ("worker.log", "worker-2.log"):
        wait_until(lambda log=log: "stored" in terminal.log(log), 60, "a batch is done")  # type: ignore[misc]
    server = terminal.server()
    assert server is not None
    server.kill()
    said = [process.communicate(timeout=150)[1] for process in runs]
    assert [process.returncode for process in runs] == [3, 3], said
    assert any("restarted" in text for text in said)
    for name in ("first", "second"):
        assert result_bytes(terminal.folder / "out" / name) == result_bytes(alone)


def test_a_job_without_a_name_is_resumed_by_its_name(photos: Path, alone: Path, terminal: _Terminal) -> None:
    """It keeps its queues. A generated name can be given again."""
    first = terminal.run(photos, "--batch-size", 1)
    wait_until(lambda: "stored" in terminal.log(), 60, "a batch is done")
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=60)
    name = said.split("Job ", 1)[1].split(":", 1)[0]
    again = terminal.run(photos, "--batch-size", 1, "--job", name)
    _, said = again.communicate(timeout=120)
    assert again.returncode == 3 and f"Resuming job {name}" in said, said
    assert result_bytes(terminal.folder / "out" / name) == result_bytes(alone)


def test_locks_of_a_killed_run_are_no_hindrance(sample: Path, terminal: _Terminal) -> None:
    """Its files stay and have no effect."""
    (terminal.state / "running").mkdir(parents=True)
    (terminal.state / "running" / "job-mine").touch()
    (terminal.state / "lock").touch()
    (terminal.state / "server").mkdir()
    (terminal.state / "server" / "users").touch()
    done = terminal.run(sample / "hopper", "--job", "mine")
    _, said = done.communicate(timeout=120)
    assert done.returncode == 0, said
