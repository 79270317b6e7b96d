"""The worker that imports its code before `run` knows what it is for."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from producer.local import early_worker
from tests.support.stage import ROOT, wait_until


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    monkeypatch.chdir(ROOT)
    early_worker.launch()
    (process,) = early_worker._waiting
    yield process
    early_worker._waiting.clear()
    process.kill()
    process.wait()


def test_it_becomes_what_is_ordered(launched: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Arguments, environment and log are the order's: here a queue that does not exist, a device that is wrong."""
    log = tmp_path / "worker.log"
    process = early_worker.order(["--queues", "nothing"], {"FACEQUEUE_DEVICE": "cpu"}, log)
    assert process is launched and process.wait(60) == 2
    assert "Unknown queue 'nothing'" in log.read_text()


def test_a_setting_of_the_order_counts(launched: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """As if it had been in the environment from the start."""
    log = tmp_path / "worker.log"
    assert early_worker.order([], {"FACEQUEUE_DEVICE": "toaster"}, log) is launched
    assert launched.wait(60) == 2
    assert "'toaster' is not a device" in log.read_text()


def test_without_an_order_it_ends(launched: subprocess.Popen[bytes]) -> None:
    """As when `run` is killed before it could give one."""
    assert launched.stdin is not None
    launched.stdin.close()
    assert launched.wait(60) == 0


def test_one_that_died_takes_no_order(launched: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Another is then started in its place; there is one order at most."""
    launched.kill()
    wait_until(lambda: launched.poll() is not None, 10, "it has died")
    assert early_worker.order([], {}, tmp_path / "log") is None
    assert early_worker.order([], {}, tmp_path / "log") is None


def test_who_launches_it_imports_little() -> None:
    """Otherwise it would not be early."""
    code = "import sys, producer.local.early_worker; print(len({'pydantic', 'typer', 'redis'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=os.environ
    )
    assert done.stdout.strip() == "0"
