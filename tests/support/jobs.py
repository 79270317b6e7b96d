"""New job records, and shortcuts to later states."""

from shared.domain.contract import KNOWN_WEIGHTS, Contract, Runtime
from shared.domain.job import Job
from shared.domain.options import Options
from shared.domain.paths import RootPath
from shared.domain.priority import Priority
from shared.store.jobs import JobRecord
from shared.store.leases import Lease
from tests.support.stage import Stage

CONTRACT = Contract(
    faces="largest", mode="fast", margin_px=32, weights="casia-webface", weights_sha256=KNOWN_WEIGHTS["casia-webface"]
)


RUNTIME = Runtime(backend="b 1", device="cpu", instruction_set="i", decoder="d 1")


def make_job(stage: Stage, name: str = "j", priority: Priority = Priority.NORMAL) -> tuple[JobRecord, Job]:
    """A new job without batches."""
    record = JobRecord(stage.client, name)
    options = Options(folder=".", batch_size=2, distances="auto")
    job, _ = record.create(
        origin="o", source="s", contract=CONTRACT, options=options, queue_prefix="", priority=priority
    )
    return record, job


def add_batch(
    record: JobRecord, uid: str, producer: str, batch: int, paths: list[RootPath], queue: str = "embed"
) -> int:
    """Adds a batch whose turn it is at once, and returns its send number (0: it is done). Its message is not sent."""
    record.add_batch(uid, producer, batch, paths)
    record.dispatch(queue, Priority.NORMAL)
    return int(record._client.zscore(record._part("open"), str(batch)) or 0)


def add_tiles(record: JobRecord, uid: str, holder: str, stage: str, tiles: int) -> int:
    """Adds tiles whose turn it is at once, and returns the send number of the first. Their messages are not sent."""
    assert record.add_tiles(uid, holder, stage, tiles) is None
    sent = [record.dispatch("aggregate", Priority.NORMAL) for _ in range(tiles)]
    assert sent[0] is not None
    return sent[0].sent.send


def do_batch(record: JobRecord, job: Job, batch: int, producer: str) -> None:
    """Adds a batch, leases it and commits its block."""
    send = add_batch(record, job.uid, producer, batch, [f"{batch}.jpg"])
    record.take(job.uid, batch, send, "h", 5)
    assert record.commit(job.uid, batch, b"block", {"ok": 1}, 1) in ("stored", "last")


def finish_job(record: JobRecord, failed: dict[int, str]) -> Job:
    """Finishes a job of two images with one batch, and records these failed images (path by index)."""
    producer = record.attach_producer(record.load().uid)
    uid = record.load().uid
    send = add_batch(record, uid, producer, 0, ["a.jpg", "b.jpg"])
    record.add_batch(uid, producer, 0, ["a.jpg", "b.jpg"])  # asked again: the answer was lost
    assert record.take(uid, 0, send, "h", 5) == Lease(attempt=1, losses=0)
    assert record.commit(uid, 0, b"block", {"ok": 1, "unreadable": 1}, 1) == "stored"
    record.seal(uid, producer)
    assert record.claim_aggregation("h", 5)
    job = record.load()
    assert record.finish(job, "h", 60, failed) == "finished"
    return job
