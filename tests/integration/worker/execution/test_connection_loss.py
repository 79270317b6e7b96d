"""The server disappears while a batch is computed and comes back: the batch is not computed again."""

import time
from pathlib import Path

import psutil

from shared.store.jobs import JobRecord
from shared.store.keys import PREFIX
from shared.store.queue_inspection import waiting_tasks
from tests.support.faulty_worker import MARKS
from tests.support.stage import Stage, wait_until
from worker.batch_result import Block

BATCH = 8
"""The number of images: at half a second each they take longer than the stage's lease of 3 s."""


def _slow_images(folder: Path, sample: Path, images: int) -> Path:
    folder.mkdir()
    picture = (sample / "hopper" / "smaller.jpg").read_bytes()
    for number in range(images):
        (folder / f"{number}.jpg").write_bytes(picture + b"%d" % number + MARKS["slow"])
    return folder


def _start(stage: Stage, images: Path, *arguments: str) -> psutil.Process:
    process = stage.spawn("tests.support.faulty_worker", *arguments, log="worker.log", FACEQUEUE_DATA_ROOT=str(images))
    wait_until(lambda: " ready." in stage.log("worker.log"), 120, "worker ready")
    return psutil.Process(process.pid)


def _enqueue(stage: Stage, images: Path) -> None:
    arguments = ("--job", "j", "--batch-size", str(BATCH))
    done = stage.producer("enqueue", str(images), *arguments, FACEQUEUE_DATA_ROOT=str(images))
    assert done.returncode == 0, done.stderr


def _block(stage: Stage, batch: int) -> Block:
    (raw,) = JobRecord(stage.client, "j").blocks([batch])
    assert raw is not None
    return Block.unpack(raw, 512)


def _holders(stage: Stage) -> set[int]:
    return {int(value.rpartition(b"/")[2]) for value in stage.client.hvals(f"{PREFIX}job:j:holders")}


def test_a_batch_that_is_computed_while_the_server_is_away_is_stored_when_it_is_back(
    stage: Stage, sample: Path
) -> None:
    """The same process stores it at its first attempt, and the worker takes the next batch."""
    images = _slow_images(stage.folder / "images", sample, 2 * BATCH)
    worker = _start(stage, images, "--queues", "embed", "--concurrency", "1")
    _enqueue(stage, images)
    wait_until(lambda: _holders(stage), 60, "a batch is in work")
    (child,) = _holders(stage)
    stage.server.kill()
    gone_ms = time.time() * 1000
    wait_until(lambda: "Connection to broker lost" in stage.log("worker.log"), 30, "the worker has noticed")
    wait_until(lambda: "does not take the result" in stage.log("worker.log"), 30, "the batch is computed")
    stage.server.start()
    wait_until(lambda: JobRecord(stage.client, "j").load().complete, 90, "all batches are done")
    first, second = _block(stage, 0), _block(stage, 1)
    assert first.started_ms < gone_ms < first.ended_ms
    assert (first.attempt, second.attempt) == (1, 1)
    assert first.worker == second.worker and first.worker.endswith(f"-{child}")
    assert [process.pid for process in worker.children()].count(child) == 1
    assert stage.log("worker.log").count("networks loaded") == 1
    # What was in its hands is done with, in the queue and in the record.
    wait_until(
        lambda: not waiting_tasks(stage.client, "embed") and not stage.client.exists("unacked"), 30, "all acknowledged"
    )
    assert "Traceback" not in stage.log("worker.log")
