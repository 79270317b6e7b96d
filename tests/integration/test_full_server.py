"""A server at its maxmemory: producers wait, workers keep their results, and finished blocks are moved. Nothing is
lost.
"""

import base64
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis

from producer.submission.backpressure import Backpressure, Stopped
from producer.submission.batches import enqueue_images
from producer.submission.folder_source import FolderSource
from producer.submission.jobs import cancel_job
from shared.dispatch.dispatcher import Dispatcher
from shared.domain.arrays import Float32
from shared.domain.errors import NotFinished, ResultsError
from shared.domain.job import Job
from shared.domain.outcomes import Outcome
from shared.messaging.celery_app import make_celery, send_batch
from shared.messaging.messages import EmbedBatch, parse_message
from shared.store.jobs import JobRecord
from shared.store.keys import PREFIX
from shared.store.leases import Lease, Requeued
from shared.store.redis_client import connect
from shared.store.worker_registry import Worker, announce, living_workers
from tests.support.jobs import RUNTIME, add_batch, make_job
from tests.support.results import result_bytes
from tests.support.stage import Stage, wait_until
from worker.aggregation.hidden_names import spill_path
from worker.aggregation.results_writer import write_results
from worker.aggregation.spilling import move_blocks, read_blocks, remove_spill_file, sweep_spill_files
from worker.batch_result import Block, ImageRecord
from worker.execution.progress import Progress
from worker.supervision.readiness import LoadedProcesses
from worker.supervision.reconciler import Reconciler
from worker.supervision.resource_sampler import Sampler

MIB = 2**20
FACES = 64  # in each made-up image: a block of 128 KiB


def fill(stage: Stage) -> None:
    """Makes the server refuse everything that takes memory."""
    stage.client.config_set("maxmemory", 1)


def make_room(stage: Stage, mib: int = 0) -> None:
    """Removes the memory limit, or leaves so many MiB below it."""
    used = stage.client.info("memory")["used_memory"]
    stage.client.config_set("maxmemory", used + mib * MIB if mib else 0)


def made_up_embeddings(batch: int) -> Float32:
    """[FACES, 512], the same for the same batch."""
    return np.random.default_rng(batch).random((FACES, 512), np.float32)


def made_up_block(batch: int, path: str = "a.jpg") -> bytes:
    """One image with many faces."""
    faces = [[0.0, 0.0, 9.0, 9.0, 1.0, *[4.0] * 15]] * FACES
    return Block(
        batch=batch,
        attempt=1,
        worker="w",
        started_ms=0,
        ended_ms=1,
        commit_ms=0,
        images=[ImageRecord(path=path, outcome=Outcome.OK, faces=faces)],
        embeddings=made_up_embeddings(batch),
    ).pack()


def do_batches(stage: Stage, record: JobRecord, job: Job, batches: range) -> None:
    """Adds and commits batches."""
    producer = record.attach_producer(job.uid)
    for batch in batches:
        send = add_batch(record, job.uid, producer, batch, [f"{batch}.jpg"])
        assert isinstance(record.take(job.uid, batch, send, "h", 5), Lease)
        assert record.commit(job.uid, batch, made_up_block(batch, f"{batch}.jpg"), {"ok": 1}, FACES) == "stored"


def test_what_adds_is_refused_whole_and_the_rest_works(stage: Stage) -> None:
    """Leases, elections, heartbeats and cancellations are small, and needed to free memory again."""
    record, job = make_job(stage)
    producer = record.attach_producer(job.uid)
    for batch in range(3):
        add_batch(record, job.uid, producer, batch, ["a.jpg"])
    assert record.take(job.uid, 1, 2, "h", 5) == Lease(attempt=1, losses=0)
    assert record.commit(job.uid, 1, made_up_block(1), {"ok": 1}, FACES) == "stored"
    assert record.take(job.uid, 2, 3, "h", 5) == Lease(attempt=1, losses=0)
    reconciler = Reconciler(make_celery(stage.settings), stage.client, stage.settings, "w")
    fill(stage)
    before = stage.client.hgetall(f"{PREFIX}job:j")
    with pytest.raises(redis.OutOfMemoryError):
        add_batch(record, job.uid, producer, 3, ["b.jpg"])
    with pytest.raises(redis.OutOfMemoryError):
        record.commit(job.uid, 2, made_up_block(2), {"ok": 1}, FACES)
    message = EmbedBatch(version=1, job="j", uid=job.uid, batch=0, send=1, images=["a.jpg"])
    with pytest.raises(redis.OutOfMemoryError):
        send_batch(make_celery(stage.settings), stage.settings, "embed", message)
    assert stage.client.hgetall(f"{PREFIX}job:j") == before
    assert record.open_batches() == 2
    sampler = Sampler("w", list, Progress(), LoadedProcesses(), None, {})
    sampler.sample()
    sampler.send(stage.client)
    announce(stage.client, Worker("w", ["embed"], 1, {}), 5)
    assert [worker.name for worker in living_workers(stage.client)] == ["w"]
    assert record.take(job.uid, 0, 1, "h", 5) == Lease(attempt=1, losses=0)
    assert record.renew(0, "h", 5)
    record.divert(job, 0, "h", "w", "no weights")
    assert record.load().refusal == "no weights"
    assert record.find_unleased() == {0: "1"}
    assert record.resend(job.uid, 0, "1") == Requeued(4, ["a.jpg"])
    assert record.agree_on_runtime(job.uid, RUNTIME)
    assert not record.seal(job.uid, producer)
    reconciler.step()
    assert record.load().block_bytes == 0  # the block of batch 1 is in the spill file
    assert record.claim_aggregation("h", 5)
    assert record.renew_aggregation("h", 5)
    assert record.finish(job, "h", 60, {}) == "finished"
    cancel_job(stage.client, "j", stage.settings)
    assert stage.client.hget(f"{PREFIX}job:j", "state") == b"cancelled"


def test_a_spilled_job_is_read_from_both_places(stage: Stage) -> None:
    """Every block is read once. A rolled-back server and a crash change nothing, and nothing moves during an
    aggregation.
    """
    record, job = make_job(stage)
    do_batches(stage, record, job, range(5))
    size = len(made_up_block(0, "0.jpg"))
    assert record.load().block_bytes == 5 * size
    assert move_blocks(stage.client, job, stage.results, 1) == 5 * size  # a portion is never less than it all
    do_batches(stage, record, job, range(5, 8))
    job = record.load()
    assert (job.block_bytes, job.spool_host) == (3 * size, socket.gethostname())
    assert job.spool_bytes == spill_path(job, stage.results).stat().st_size
    with spill_path(job, stage.results).open("ab") as file:
        file.write(b"a frame that nobody counted")
    blocks = [made_up_block(batch, f"{batch}.jpg") for batch in range(8)]
    assert list(read_blocks(stage.client, job, stage.results)) == blocks
    assert record.claim_aggregation("h", 5)
    assert move_blocks(stage.client, job, stage.results, size) == 0
    assert not record.count_spilled(job.uid, job.spool_bytes, job.spool_bytes + 1, "here", [6])
    record.release_aggregation(job.uid, "h")
    assert move_blocks(stage.client, job, stage.results, size) == 3 * size
    assert list(read_blocks(stage.client, record.load(), stage.results)) == blocks
    stage.client.zadd(f"{PREFIX}job:j:stored", {"7": 7})
    stage.client.set(f"{PREFIX}job:j:block:7", blocks[7])
    stage.client.hset(f"{PREFIX}job:j", mapping={"spool_bytes": job.spool_bytes, "block_bytes": size})
    assert move_blocks(stage.client, job, stage.results, size) == size
    with pytest.raises(NotFinished, match="Block 5 of job 'j' is no longer on the server"):
        list(read_blocks(stage.client, record.load(), stage.results))


def test_a_spill_file_on_another_machine_is_an_error_that_says_where(stage: Stage, tmp_path: Path) -> None:
    """The aggregator reports it, and a process that would append leaves the blocks on the server."""
    record, job = make_job(stage)
    do_batches(stage, record, job, range(2))
    move_blocks(stage.client, job, stage.results, 1)
    stage.client.hset(f"{PREFIX}job:j", "spool_host", "elsewhere")
    with pytest.raises(ResultsError, match=r"results folder of elsewhere, not in "):
        list(read_blocks(stage.client, record.load(), tmp_path / "other"))
    with pytest.raises(ResultsError, match="elsewhere"):
        move_blocks(stage.client, record.load(), tmp_path / "other", 1)


def test_only_spill_files_that_nobody_will_read_are_swept(stage: Stage) -> None:
    """Old files of this server whose job is gone; never another server's, an unfinished job's, or new ones."""
    paths = {}
    for name in ("works", "gone", "again", "new", "other"):
        record, job = make_job(stage, name)
        do_batches(stage, record, job, range(1))
        move_blocks(stage.client, job, stage.results, 1)
        paths[name] = spill_path(job, stage.results)
        if name != "works":
            record.delete()
        if name != "new":
            os.utime(paths[name], (1, 1))
        if name == "again":
            make_job(stage, name)
    data = bytearray(paths["other"].read_bytes())
    data[16:48] = b"f" * 32  # the server's name
    paths["other"].write_bytes(data)
    os.utime(paths["other"], (1, 1))
    mine = stage.results / ".photos.12345678.spool.jpg"
    mine.write_bytes(b"dear")
    os.utime(mine, (1, 1))
    sweep_spill_files(stage.client, stage.results)
    left = {name for name, path in paths.items() if path.exists()}
    assert (left, mine.exists()) == ({"works", "new", "other"}, True)


def test_the_copy_of_an_aggregator_at_work_is_never_swept(stage: Stage) -> None:
    """However long ago it wrote. Scratch folders of unleased, reopened and unknown jobs are removed after an hour."""
    names = ("claimed", "unclaimed", "reopened", "unknown")
    copies = {}
    for name in names:
        record, job = make_job(stage, name)
        copies[name] = stage.results / f".{name}.{job.uid[:8]}-0123456789ab.making"
        copies[name].mkdir(parents=True)
        os.utime(copies[name], (1, 1))
        if name in ("reopened", "unknown"):
            record.delete()
        if name == "reopened":
            record, _ = make_job(stage, name)
        if name in ("claimed", "reopened"):
            assert record.claim_aggregation("h", 60)
    fresh = stage.results / ".unknown.00000000-0123456789ab.making"
    fresh.mkdir()
    sweep_spill_files(stage.client, stage.results)
    assert [name for name in names if copies[name].exists()] == ["claimed"]
    assert fresh.exists()


def test_blocks_beyond_the_stated_size_are_spilled_and_the_producer_waits_for_that(stage: Stage) -> None:
    """On a server without a memory limit too. A waiting producer that is asked to stop does so."""
    settings = stage.settings.model_copy(update={"blocks_in_server_mib": 1})
    record, job = make_job(stage)
    do_batches(stage, record, job, range(20))
    said: list[str] = []
    with pytest.raises(Stopped):
        Backpressure(stage.client, record, settings, said.append, should_stop=lambda: True).wait()
    assert said == ["2 MiB of results are on the server; enqueuing resumes as the aggregator moves them"]
    reconciler = Reconciler(make_celery(settings), stage.client, settings, "w")
    assert reconciler.step()
    assert record.block_bytes() <= MIB / 2
    assert not reconciler.step()
    Backpressure(stage.client, record, settings, said.append, should_stop=lambda: False).wait()
    job = record.load()
    assert list(read_blocks(stage.client, job, stage.results)) == [made_up_block(n, f"{n}.jpg") for n in range(20)]


class MadeUpWorker:
    """Takes messages from the queue and commits made-up blocks like a real worker."""

    def __init__(self, stage: Stage) -> None:
        self._client = connect(stage.settings)
        self._dispatcher = Dispatcher(self._client, make_celery(stage.settings), stage.settings, "", despite_oom=True)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while not self._stop.is_set():
            taken = self._client.brpop("embed", 1)
            if taken is None:
                continue
            with suppress(redis.OutOfMemoryError):  # this process sends without a worker's transport
                self._dispatcher.fill_embed()
            body = json.loads(base64.b64decode(json.loads(taken[1])["body"]))
            self._do(parse_message(EmbedBatch, body[1]["message"]))

    def _do(self, message: EmbedBatch) -> None:
        record = JobRecord(self._client, message.job)
        if not isinstance(record.take(message.uid, message.batch, message.send, "h", 60), Lease):
            return
        block = made_up_block(message.batch, message.images[0])
        while not self._stop.is_set():
            try:
                record.commit(message.uid, message.batch, block, {"ok": 1}, FACES)
                return
            except redis.OutOfMemoryError:
                time.sleep(0.02)

    def stop(self) -> None:
        """Stops the worker."""
        self._stop.set()
        self._thread.join(10)


@contextmanager
def repeated(step: Callable[[], object]) -> Iterator[None]:
    """Calls a function repeatedly in a thread."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(0.1):
            step()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join(10)


def test_a_job_of_three_times_the_servers_memory_passes(stage: Stage, tmp_path: Path) -> None:
    """Real producer, record, reconciler and results move 200 MiB of made-up blocks through 64 MiB."""
    batches = 1600
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(batches):
        (folder / f"{number:05}.jpg").touch()
    stage.client.config_set("maxmemory", "64mb")
    settings = stage.settings
    record, job = make_job(stage)
    stage.client.hset(f"{PREFIX}job:j", "options", json.dumps(vars(replace(job.options, batch_size=1, neighbors=0))))
    job = record.load()
    reconciler = Reconciler(make_celery(settings), connect(settings), settings, "w")
    workers = [MadeUpWorker(stage) for _ in range(2)]
    said: list[str] = []
    with repeated(reconciler.step):
        enqueue_images(stage.client, make_celery(settings), job, FolderSource(folder), settings, said.append)
        wait_until(lambda: record.load().complete, 120, "every batch done")
        for worker in workers:
            worker.stop()
        job = record.load()
        assert record.claim_aggregation("h", 60)
        write_results(
            job,
            read_blocks(stage.client, job, stage.results),
            {},
            stage.results,
            resources=dict,
            threads=1,
            distances_max_bytes=1,
            may_publish=lambda: record.holds_aggregation("h"),
        )
        assert record.finish(job, "h", 60, {}) == "finished"
        remove_spill_file(stage.client, job, stage.results)
    assert job.spool_bytes + job.block_bytes > 200 * MIB
    assert stage.client.info("memory")["used_memory_peak"] < 66 * MIB  # each command is checked before it runs
    written = np.load(stage.results / "j" / "embeddings.npy", mmap_mode="r")
    assert written.shape == (batches * FACES, 512)
    for batch in range(batches):
        np.testing.assert_array_equal(written[batch * FACES : (batch + 1) * FACES], made_up_embeddings(batch))
    assert [path.name for path in stage.results.iterdir()] == ["j"]
    assert {key.decode() for key in stage.client.scan_iter(f"{PREFIX}job:*")} == {f"{PREFIX}job:j"}


def test_a_real_job_on_a_full_server_waits_and_ends_as_it_should(stage: Stage, sample: Path) -> None:
    """The server is full when the worker starts, when messages come, when blocks are stored, and for the producer."""
    environment = {"FACEQUEUE_DATA_ROOT": str(sample), "FACEQUEUE_SAMPLE_INTERVAL_S": "0.2"}
    fill(stage)
    worker = stage.worker("--concurrency", "1", **environment)
    make_room(stage)
    # Messages reach a worker that stands still, and go on in it when the server is full.
    os.kill(worker.pid, signal.SIGSTOP)
    first = stage.producer("enqueue", str(sample / "hopper"), "--batch-size", "3", "--job", "first", **environment)
    assert first.returncode == 0, first.stderr
    fill(stage)
    os.kill(worker.pid, signal.SIGCONT)
    wait_until(lambda: "the server does not take the result" in stage.log("worker.log"), 60, "a block waits for room")
    enqueuing = stage.spawn(
        "producer", "enqueue", str(sample), "--wait", "--batch-size", "2", "--job", "second", log="p.log", **environment
    )
    wait_until(lambda: "The server is full (maxmemory)" in stage.log("p.log"), 60, "the producer says why it waits")
    assert JobRecord(stage.client, "second").load().batches == 0
    make_room(stage, 2)
    assert enqueuing.wait(90) == 3, stage.log("p.log")
    assert stage.producer("watch", "first").returncode == 0
    assert stage.log("p.log").count("The server is full") == 1
    assert "Traceback" not in stage.log("p.log")
    make_room(stage)
    again = stage.producer("enqueue", str(sample), "--wait", "--job", "again", **environment)
    assert again.returncode == 3, again.stderr
    assert result_bytes(stage.results / "second") == result_bytes(stage.results / "again")
    assert worker.poll() is None
    assert "Traceback" not in stage.log("worker.log")
