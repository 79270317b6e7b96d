"""Probes: liveness needs no server, readiness does."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from shared.store.worker_registry import Worker, announce
from tests.support.manifests import container, pods
from tests.support.no_server import answering
from tests.support.stage import Stage, wait_until
from worker.supervision.heartbeat_file import age_s, beat


@pytest.mark.parametrize("queues", ["embed", "aggregate"])
def test_a_worker_is_alive_without_its_server_and_not_when_it_is_stopped(queues: str, tmp_path: Path) -> None:
    """Nobody restarts a worker because its server is away; one whose main process hangs is found."""
    stage = Stage(tmp_path)
    heartbeat = {"FACEQUEUE_HEARTBEAT_FILE": str(tmp_path / "heartbeat"), "FACEQUEUE_SERVER_TIMEOUT_S": "1"}

    def probe(*command: str) -> int:
        return stage.spawn("worker", *command, **heartbeat).wait(60)

    try:
        assert probe("alive") == 1
        worker = stage.worker("--concurrency", "1", "--queues", queues, **heartbeat)
        wait_until(lambda: probe("alive", "--max-age", "10") == 0, 30, "alive")
        wait_until(lambda: probe("ready") == 0, 30, "ready")
        stage.server.stop()
        away = time.monotonic()
        assert probe("ready") == 1
        wait_until(lambda: _beat_after(tmp_path, away), 20, "a heartbeat")
        assert probe("alive", "--max-age", "10") == 0
        assert worker.poll() is None
        stage.server.start()
        wait_until(lambda: probe("ready") == 0, 60, "ready again")
        os.kill(worker.pid, signal.SIGSTOP)
        wait_until(lambda: (age_s(tmp_path / "heartbeat") or 0) > 3, 20, "the heartbeat is old")
        assert probe("alive", "--max-age", "2") == 1
        os.kill(worker.pid, signal.SIGCONT)
        wait_until(lambda: probe("alive", "--max-age", "10") == 0, 20, "alive again")
        assert "s old: the worker's main process hangs" in stage.log("process.log")
        assert "Traceback" not in stage.log("process.log")
    finally:
        stage.close()


def _beat_after(folder: Path, moment: float) -> bool:
    age = age_s(folder / "heartbeat")
    return age is not None and time.monotonic() - age > moment


def test_a_probe_that_fails_says_why(server: Stage) -> None:
    """No worker has announced itself, it loads its networks, or what answers is no server. One line each."""
    server.client.flushall()
    name = f"worker-7@{socket.gethostname()}"

    def said(**environment: str) -> str:
        process = server.spawn("worker", "ready", log="ready.log", **environment)
        assert process.wait(60) == 1
        return server.log("ready.log").splitlines()[-1]

    assert "No worker on this host" in said()
    announce(server.client, Worker(name, ["embed"], 1, {}), 60)
    assert said() == f"worker: The worker {name} has not loaded its networks yet."
    announce(server.client, Worker(name, ["embed"], 1, {"models_loaded": 1}), 60)
    assert server.spawn("worker", "ready", log="ready.log").wait(60) == 0
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as url:
        assert "is no Redis or Valkey server" in said(REDIS_URL=url)
    assert len(server.log("ready.log").splitlines()) == 3


def test_nobody_waits_long_for_a_server_that_hangs(server: Stage) -> None:
    """A probe is over in the time that the manifests give it, a command soon after FACEQUEUE_SERVER_TIMEOUT_S."""
    limit_s = container(pods()["worker"])["readinessProbe"]["timeoutSeconds"]
    with answering(b"") as url:
        hanging = {"REDIS_URL": url, "FACEQUEUE_SERVER_TIMEOUT_S": "1", "log": "hanging.log"}
        probe, command = server.spawn("worker", "ready", **hanging), server.spawn("producer", "jobs", **hanging)
        assert (probe.wait(limit_s), command.wait(limit_s)) == (1, 4)
    lines = server.log("hanging.log").splitlines()
    assert len(lines) == 2 and all("does not answer in time" in line for line in lines)


def test_probes_without_the_setting_say_so(server: Stage) -> None:
    """Exit code 2 and one line."""
    assert server.spawn("worker", "alive", log="unset.log").wait(60) == 2
    assert server.log("unset.log").splitlines() == [
        "worker: Set FACEQUEUE_HEARTBEAT_FILE, for this command and for the worker."
    ]


@pytest.mark.parametrize("content", [b"", b"x", b"\xff", b"1e999"])
def test_a_damaged_heartbeat_is_none(content: bytes, tmp_path: Path) -> None:
    """As is one of before the machine was restarted, which lies in the future of its clock."""
    file = tmp_path / "heartbeat"
    assert age_s(file) is None
    file.write_bytes(content)
    assert age_s(file) is None
    file.write_text(str(time.monotonic() + 1000))
    assert age_s(file) is None
    beat(file)
    assert (age_s(file) or 0.0) < 60
