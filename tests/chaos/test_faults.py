"""Processes, server and messages: each test causes one fault at a chosen moment, and compares the bytes."""

import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from shared.store.jobs import JobRecord
from shared.store.keys import PREFIX
from shared.store.turns import note_processes
from tests.chaos.conftest import Fault, check_result
from tests.support.stage import Stage, wait_until


def _enqueue(stage: Stage, images: Path, job: str = "j", *more: str, **environment: str) -> None:
    done = stage.producer(
        "enqueue", str(images), "--job", job, "--batch-size", "2", *more, FACEQUEUE_DATA_ROOT=str(images), **environment
    )
    assert done.returncode == 0, done.stderr


def _worker(stage: Stage, images: Path, processes: int = 1, **environment: str) -> psutil.Process:
    return psutil.Process(
        stage.worker("--concurrency", str(processes), FACEQUEUE_DATA_ROOT=str(images), **environment).pid
    )


def _done(stage: Stage, job: str = "j") -> int:
    return JobRecord(stage.client, job).load().images_done


def _leased(stage: Stage, job: str = "j") -> int:
    return int(stage.client.zcard(f"{PREFIX}job:{job}:leases"))


def _watch(stage: Stage, job: str = "j") -> None:
    done = stage.producer("watch", job)
    assert done.returncode == 3, done.stderr + stage.log("worker.log")[-3000:]


def _another_takes_over(stage: Stage, images: Path, fault: Fault) -> None:
    now, before = time.monotonic(), _done(stage)
    fault.injected += 1
    _worker(stage, images)
    wait_until(lambda: _done(stage) > before, 30, "work goes on")
    fault.went_on(now)
    _watch(stage)


def _holders(stage: Stage) -> list[int]:
    return [int(value.rpartition(b"/")[2]) for value in stage.client.hvals(f"{PREFIX}job:j:holders")]


def test_child(stage: Stage, images: Path, undisturbed: dict[str, bytes], fault: Fault) -> None:
    """SIGKILL of a worker's child during a batch."""
    worker = _worker(stage, images)
    _enqueue(stage, images)
    for kill in range(2):
        wait_until(lambda k=kill: _done(stage) >= 4 * k and _holders(stage), 60, "a batch is in work")
        before, now = _done(stage), time.monotonic()
        for pid in _holders(stage):
            os.kill(pid, signal.SIGKILL)
            fault.injected += 1
        wait_until(lambda b=before: _done(stage) > b, 30, "work goes on")
        fault.went_on(now)
    _watch(stage)
    assert worker.is_running()
    check_result(stage, "j", undisturbed, fault)


def test_worker(stage: Stage, images: Path, undisturbed: dict[str, bytes], fault: Fault) -> None:
    """SIGKILL of a whole worker during its batches."""
    first = _worker(stage, images, 2)
    _enqueue(stage, images)
    wait_until(lambda: _leased(stage) and _done(stage) >= 2, 60, "batches are in work")
    os.killpg(first.pid, signal.SIGKILL)
    _another_takes_over(stage, images, fault)
    check_result(stage, "j", undisturbed, fault)


def test_aggregator(stage: Stage, images: Path, undisturbed: dict[str, bytes], fault: Fault, tmp_path: Path) -> None:
    """SIGKILL of the aggregator while it writes."""
    hold = tmp_path / "hold"
    hold.touch()
    root = {"FACEQUEUE_DATA_ROOT": str(images), "CHAOS_HOLD": str(hold)}
    stage.worker("--queues", "embed", "--concurrency", "1", FACEQUEUE_DATA_ROOT=str(images))
    writer = stage.spawn(
        "tests.support.faulty_worker", "--queues", "aggregate", "--concurrency", "1", log="a.log", **root
    )
    _enqueue(stage, images)
    wait_until(lambda: list(stage.results.glob(".j.*.making/summary.json")), 60, "an aggregator has nearly written")
    aggregators = [int(stage.client.get(f"{PREFIX}job:j:aggregation").rpartition(b"/")[2])]
    assert not (stage.results / "j").exists()
    os.killpg(writer.pid, signal.SIGKILL)
    for pid in aggregators:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)
    now = time.monotonic()
    fault.injected += 1
    hold.unlink()
    _worker(stage, images)
    _watch(stage)
    fault.went_on(now)
    check_result(stage, "j", undisturbed, fault)


def test_producer(stage: Stage, images: Path, undisturbed: dict[str, bytes], fault: Fault) -> None:
    """SIGKILL of the producer while it enqueues."""
    arguments = ("enqueue", str(images), "--job", "j", "--batch-size", "2")
    root = {"FACEQUEUE_DATA_ROOT": str(images)}
    producer = stage.spawn("producer", *arguments, FACEQUEUE_WINDOW_BATCHES="3", **root)
    wait_until(lambda: stage.client.llen("embed") == 3, 30, "it is in the middle")
    producer.kill()
    producer.wait()
    now = time.monotonic()
    fault.injected += 1
    _enqueue(stage, images)
    fault.went_on(now)
    _worker(stage, images)
    _watch(stage)
    check_result(stage, "j", undisturbed, fault)


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "restarted"])
def test_server(stage: Stage, images: Path, undisturbed: dict[str, bytes], fault: Fault, killed: bool) -> None:
    """The server dies in the middle and restarts with its append-only file; the same workers continue."""
    worker = _worker(stage, images)
    _enqueue(stage, images)
    wait_until(lambda: _leased(stage) and _done(stage) >= 2, 60, "a batch is in work")
    stage.restart_server(killed=killed)
    now, before = time.monotonic(), _done(stage)
    fault.injected += 1
    wait_until(lambda: _done(stage) > before, 60, "work goes on")
    fault.went_on(now)
    _watch(stage)
    assert worker.is_running()
    check_result(stage, "j", undisturbed, fault)
    # Connected, and consuming too: a job that comes later is taken.
    _enqueue(stage, images, "later")
    _watch(stage, "later")


def test_server_comes_late(stage: Stage, images: Path, undisturbed: dict[str, bytes], fault: Fault) -> None:
    """No server when the worker starts: the worker waits, and works once the server is there."""
    stage.server.stop()
    worker = stage.spawn("worker", "--concurrency", "1", log="worker.log", FACEQUEUE_DATA_ROOT=str(images))
    wait_until(lambda: "rror" in stage.log("worker.log"), 60, "the worker has noticed")
    assert worker.poll() is None
    stage.server.start()
    now = time.monotonic()
    fault.injected += 1
    _enqueue(stage, images)
    wait_until(lambda: _done(stage), 60, "work goes on")
    fault.went_on(now)
    _watch(stage)
    check_result(stage, "j", undisturbed, fault)


def test_power(stage: Stage, images: Path, undisturbed: dict[str, bytes], fault: Fault) -> None:
    """SIGKILL of producer, worker and server at once; then the same commands again."""
    root = {"FACEQUEUE_DATA_ROOT": str(images)}
    worker = _worker(stage, images, 2)
    arguments = ("enqueue", str(images), "--job", "j", "--batch-size", "2")
    producer = stage.spawn("producer", *arguments, FACEQUEUE_WINDOW_BATCHES="3", **root)
    wait_until(
        lambda: stage.client.exists(f"{PREFIX}job:j") and _done(stage) >= 2 and _leased(stage), 60, "all at work"
    )
    producer.kill()
    os.killpg(worker.pid, signal.SIGKILL)
    stage.server.kill()
    producer.wait()
    now = time.monotonic()
    fault.injected += 1
    stage.server.start()
    _enqueue(stage, images)
    before = _done(stage)
    _worker(stage, images)
    wait_until(
        lambda: _done(stage) > before or JobRecord(stage.client, "j").load().state == "finished", 30, "work goes on"
    )
    fault.went_on(now)
    _watch(stage)
    check_result(stage, "j", undisturbed, fault)


def test_lost_messages(stage: Stage, images: Path, undisturbed: dict[str, bytes], fault: Fault) -> None:
    """Messages that are lost after they left the queue and before they were recorded."""
    note_processes(stage.client, "embed", 100)  # so that all its messages are sent
    _enqueue(stage, images)
    while stage.client.llen("embed") > 2:
        stage.client.lpop("embed")
        fault.injected += 1
    now = time.monotonic()
    _worker(stage, images)
    _watch(stage)
    fault.went_on(now)
    check_result(stage, "j", undisturbed, fault)


def test_doubled_messages(stage: Stage, images: Path, undisturbed: dict[str, bytes], fault: Fault) -> None:
    """Every message twice, for two processes at once, and the aggregation three times."""
    note_processes(stage.client, "embed", 100)  # so that all its messages are sent
    _enqueue(stage, images)
    messages = stage.client.lrange("embed", 0, -1)
    stage.client.delete("embed")
    for message in messages:
        stage.client.rpush("embed", message, message)  # side by side, so that both processes have it at the same time
        fault.injected += 1
    _worker(stage, images, 2)
    _watch(stage)
    from shared.messaging.celery_app import make_celery, send_aggregate
    from shared.messaging.messages import Aggregate

    app, job = make_celery(stage.settings), JobRecord(stage.client, "j").load()
    for _ in range(3):
        send_aggregate(app, "aggregate", Aggregate(version=1, job="j", uid=job.uid))
    wait_until(lambda: stage.client.llen("aggregate") == 0, 30, "they are taken")
    check_result(stage, "j", undisturbed, fault)
    assert fault.twice == 0


def test_retaken(stage: Stage, images: Path, undisturbed: dict[str, bytes], fault: Fault) -> None:
    """A worker is frozen beyond its lease: another one does the batch, and the late one changes nothing."""
    first = _worker(stage, images)
    _enqueue(stage, images)
    wait_until(lambda: _leased(stage) and _done(stage) >= 2, 60, "a batch is in work")
    family = [first, *first.children(recursive=True)]
    for process in family:
        process.suspend()
    _another_takes_over(stage, images, fault)
    for process in family:
        process.resume()
    time.sleep(2)  # for the late one to do harm, if it would
    check_result(stage, "j", undisturbed, fault)


def test_results_folder(
    stage: Stage, images: Path, undisturbed: dict[str, bytes], fault: Fault, tmp_path: Path
) -> None:
    """The results folder is removed while it is written; `aggregate` writes it again."""
    hold = tmp_path / "hold"
    hold.touch()
    root = {"FACEQUEUE_DATA_ROOT": str(images), "CHAOS_HOLD": str(hold)}
    stage.spawn("tests.support.faulty_worker", "--concurrency", "1", log="worker.log", **root)
    _enqueue(stage, images)
    wait_until(lambda: list(stage.results.glob(".j.*.making/summary.json")), 60, "an aggregator has nearly written")
    shutil.rmtree(stage.results)
    fault.injected += 1
    hold.unlink()
    now = time.monotonic()
    done = stage.producer("watch", "j")
    assert (done.returncode, "aggregate" in done.stderr) == (1, True), done.stderr
    assert stage.client.exists(f"{PREFIX}job:j:block:0")
    again = stage.producer("aggregate", "j")
    assert again.returncode == 3, again.stderr
    fault.went_on(now)
    check_result(stage, "j", undisturbed, fault)


def test_cancel(stage: Stage, images: Path, fault: Fault) -> None:
    """Cancelled in the middle: the job ends within seconds, and no keys stay."""
    _worker(stage, images)
    _enqueue(stage, images)
    wait_until(lambda: _leased(stage) and _done(stage) >= 2, 60, "a batch is in work")
    now = time.monotonic()
    assert stage.producer("cancel", "j").returncode == 0
    fault.injected += 1
    wait_until(lambda: stage.client.llen("embed") == 0, 20, "the queued messages are gone")
    fault.went_on(now)
    time.sleep(1)  # for a late commit
    left = {key.decode() for key in stage.client.scan_iter(f"{PREFIX}job:*")}
    assert left <= {f"{PREFIX}job:j"}
    assert not stage.results.exists() or not list(stage.results.iterdir())
