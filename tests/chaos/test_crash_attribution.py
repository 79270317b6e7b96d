"""Images that kill, hang or fill their process affect only themselves, and stopping loses nothing."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from shared.store.jobs import JobRecord
from shared.store.keys import PREFIX
from tests.chaos.conftest import Fault, account, tree_hashes
from tests.support.faulty_worker import MARKS
from tests.support.results import result_bytes, rows_of
from tests.support.stage import Stage, wait_until

_CASES = {
    "segv": ("crashed", "its process died of SIGSEGV, 3 times"),
    "hang": ("timeout", "took longer than 2 s, 3 times"),
    "memory": ("crashed", "its process died of SIGKILL, as one that is out of memory does, 3 times"),
    "exit": ("crashed", "its process ended with exit code 3, 3 times"),
    "raise": ("crashed", "raised ZeroDivisionError, 3 times"),
}


def _images(sample: Path, folder: Path, marks: dict[int, str], count: int = 9) -> Path:
    folder.mkdir()
    data = (sample / "hopper" / "as-is.jpg").read_bytes()
    for index in range(count):
        # Every file is another one: nothing is found in a cache.
        mark = MARKS[marks[index]] if index in marks else b"%d" % index
        (folder / f"{index}.jpg").write_bytes(data + mark)
    return folder


def _start(stage: Stage, images: Path, processes: int = 1, **environment: str) -> int:
    root = {"FACEQUEUE_DATA_ROOT": str(images), "FACEQUEUE_IMAGE_TIMEOUT_S": "2"} | environment
    arguments = ("tests.support.faulty_worker", "--concurrency", str(processes))
    ready = stage.log("worker.log").count(" ready.")
    process = stage.spawn(*arguments, log="worker.log", **root)
    wait_until(lambda: stage.log("worker.log").count(" ready.") > ready, 60, "worker ready")
    return process.pid


def _enqueue(stage: Stage, images: Path, job: str, batch_size: int = 4, **environment: str) -> None:
    root = {"FACEQUEUE_DATA_ROOT": str(images)} | environment
    done = stage.producer("enqueue", str(images), "--job", job, "--batch-size", str(batch_size), **root)
    assert done.returncode == 0, done.stderr


# In CI the first two; `make chaos` runs them all.
@pytest.mark.parametrize(
    "kind", ["segv", "hang", *(pytest.param(kind, marks=pytest.mark.soak) for kind in ("memory", "exit", "raise"))]
)
def test_poison(stage: Stage, sample: Path, tmp_path: Path, fault: Fault, kind: str) -> None:
    """One image crashes, hangs or raises: its neighbors keep their results."""
    outcome, error = _CASES[kind]
    images = _images(sample, tmp_path / "images", {5: kind})
    before = tree_hashes(images)
    _start(stage, images)
    now = time.monotonic()
    _enqueue(stage, images, "j")
    done = stage.producer("watch", "j")
    assert done.returncode == 3, done.stderr + stage.log("worker.log")[-3000:]
    fault.injected, fault.name = 5, f"poison: {kind}"
    fault.went_on(now)
    rows = rows_of(stage.results / "j" / "images.csv")
    assert [row["outcome"] for row in rows] == ["ok"] * 5 + [outcome] + ["ok"] * 3
    assert rows[5]["error"] == error
    log = stage.log("worker.log")
    deaths = 0 if kind == "raise" else 5  # two with its neighbors, three alone
    assert log.count("networks loaded") == 1 + deaths
    assert log.count("lost its process") == 5
    account(stage, "j", images, {"5.jpg"}, fault)
    assert tree_hashes(images) == before


def test_two_poisons_in_one_batch(stage: Stage, sample: Path, tmp_path: Path, fault: Fault) -> None:
    """Two poisoned images in one batch, two more in another, two processes."""
    images = _images(sample, tmp_path / "images", {1: "segv", 2: "exit", 5: "hang", 8: "segv"})
    before = tree_hashes(images)
    _start(stage, images, 2)
    now = time.monotonic()
    _enqueue(stage, images, "j", batch_size=5)
    done = stage.producer("watch", "j")
    assert done.returncode == 3, done.stderr
    fault.injected = stage.log("worker.log").count("lost its process")
    fault.went_on(now)
    outcomes = [row["outcome"] for row in rows_of(stage.results / "j" / "images.csv")]
    assert outcomes == ["ok", "crashed", "crashed", "ok", "ok", "timeout", "ok", "ok", "crashed"]
    account(stage, "j", images, {f"{index}.jpg" for index in (1, 2, 5, 8)}, fault)
    assert tree_hashes(images) == before


def test_kills_from_outside_convict_nobody(stage: Stage, sample: Path, tmp_path: Path, fault: Fault) -> None:
    """The whole worker is killed repeatedly while the same image runs in isolation: no verdict."""
    images = _images(sample, tmp_path / "images", dict.fromkeys(range(3), "slow"), 3)
    _enqueue(stage, images, "j")
    stage.client.hset(f"{PREFIX}job:j:losses", "0", 2)  # as if its process had been lost twice: the images run alone
    alone = f"{PREFIX}job:j:alone"
    for _ in range(4):
        pid = _start(stage, images)
        wait_until(lambda: stage.client.hget(alone, "0") == b"0", 60, "the first image runs alone")
        os.killpg(pid, signal.SIGKILL)
        fault.injected += 1
        stage.client.delete(alone)  # the note of the dead, which the next to take the batch would remove
        wait_until(lambda: not _leases_alive(stage), 20, "its lease is over")
    _start(stage, images)
    assert stage.producer("watch", "j").returncode == 0
    assert {row["outcome"] for row in rows_of(stage.results / "j" / "images.csv")} == {"ok"}
    account(stage, "j", images, (), fault)


def _leases_alive(stage: Stage) -> bool:
    now, _ = stage.client.time()
    return any(
        deadline > now * 1000 for _, deadline in stage.client.zrange(f"{PREFIX}job:j:leases", 0, -1, withscores=True)
    )


def test_copies_and_added_files(stage: Stage, sample: Path, tmp_path: Path, fault: Fault) -> None:
    """Nothing is computed twice: after two files were added, only those are computed; another contract computes all."""
    images = _images(sample, tmp_path / "images", {})
    cached = {"FACEQUEUE_CACHE_TTL_S": "600"}
    _start(stage, images, **cached)
    _enqueue(stage, images, "first", **cached)
    assert stage.producer("watch", "first").returncode == 0
    for index in (9, 10):
        (images / f"{index}.jpg").write_bytes((images / "0.jpg").read_bytes() + b"%d" % index)
    (images / "copy.jpg").write_bytes((images / "3.jpg").read_bytes())
    _enqueue(stage, images, "second", **cached)
    assert stage.producer("watch", "second").returncode == 0
    summary = json.loads((stage.results / "second" / "summary.json").read_text())
    assert (summary["images"], summary["recalled"]) == (12, 10)
    stage.producer("enqueue", str(images), "--job", "other", "--margin", "0", FACEQUEUE_DATA_ROOT=str(images))
    assert stage.producer("watch", "other").returncode == 0
    # Of another contract: only the copy within the folder can be known, and only if it comes later than its original.
    assert json.loads((stage.results / "other" / "summary.json").read_text())["recalled"] <= 1
    off = stage.producer("run", str(images), "--results", str(stage.results), "--job", "off", "--workers", "1")
    assert off.returncode == 0, off.stderr
    assert result_bytes(stage.results / "off") == result_bytes(stage.results / "second")
    assert json.loads((stage.results / "off" / "summary.json").read_text())["recalled"] == 0
    fault.injected = 0


def test_retry(stage: Stage, sample: Path, tmp_path: Path, fault: Fault) -> None:
    """Repaired images are retried into the same folder, with the results of an undisturbed run."""
    images = _images(sample, tmp_path / "images", {})
    good = (images / "4.jpg").read_bytes()
    (images / "4.jpg").write_bytes(good[:2000])
    (images / "7.jpg").write_bytes(b"\xff\xd8\xff broken")
    (images / "copy.jpg").write_bytes(good)
    _start(stage, images)
    _enqueue(stage, images, "j")
    assert stage.producer("watch", "j").returncode == 3
    assert stage.producer("retry", "none").returncode == 2
    (images / "4.jpg").write_bytes(good)
    done = stage.producer("retry", "j", FACEQUEUE_DATA_ROOT=str(images))
    assert done.returncode == 3, done.stderr
    assert "Retrying 2 failed images" in done.stderr
    rows = rows_of(stage.results / "j" / "images.csv")
    assert [row["outcome"] for row in rows] == ["ok"] * 7 + ["unreadable"] + ["ok"] * 2
    assert (rows[9]["path"], rows[9]["same_as"]) == ("copy.jpg", "4.jpg")
    run = stage.producer("run", str(images), "--results", str(stage.results), "--job", "calm", "--workers", "1")
    assert run.returncode == 3, run.stderr
    assert result_bytes(stage.results / "j") == result_bytes(stage.results / "calm")
    summary = json.loads((stage.results / "j" / "summary.json").read_text())
    assert (summary["images"], summary["faces"], len(summary["retries"])) == (10, 9, 1)
    (images / "7.jpg").write_bytes(good + b"7")
    assert stage.producer("retry", "j").returncode == 0
    assert stage.producer("retry", "j").returncode == 2  # nothing failed any more
    fault.injected = 0


def test_stopping(stage: Stage, sample: Path, tmp_path: Path, fault: Fault) -> None:
    """SIGTERM during a slow batch: it is requeued, the exit code is 0, and another worker gets it at once."""
    images = _images(sample, tmp_path / "images", dict.fromkeys(range(20), "slow"), 20)
    pid = _start(stage, images, FACEQUEUE_STOP_AFTER_S="1", FACEQUEUE_LEASE_S="600")
    _enqueue(stage, images, "j", batch_size=20)
    wait_until(lambda: stage.client.zcard(f"{PREFIX}job:j:leases") == 1, 60, "the batch is taken")
    now = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    process = next(process for process in stage.processes if process.pid == pid)
    assert process.wait(60) == 0
    fault.injected += 1
    assert stage.client.zcard(f"{PREFIX}job:j:leases") == 0
    assert JobRecord(stage.client, "j").load().images_done == 0  # it did not work to the end of the batch
    _start(stage, images)
    # `producer` gives up long before the first worker's lease would have run out.
    assert stage.producer("watch", "j").returncode == 0
    fault.went_on(now)
    assert JobRecord(stage.client, "j").load().state == "finished"
    account(stage, "j", images, (), fault)
