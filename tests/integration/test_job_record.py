"""The job record on a real server: what is torn, stale or gone does no harm."""

import pytest

from producer.enqueue import cancel_job
from shared.contract import KNOWN_WEIGHTS, Contract, Runtime
from shared.errors import NotFinished, WrongUsage
from shared.job import PREFIX, REGISTRY, Job, JobRecord, Lease, Options, list_jobs
from shared.settings import Settings
from tests.conftest import Stage
from worker.reconcile import Reconciler

CONTRACT = Contract(
    faces="largest", mode="fast", margin_px=32, weights="casia-webface", weights_sha256=KNOWN_WEIGHTS["casia-webface"]
)
RUNTIME = Runtime(backend="b 1", device="cpu", decoder="d 1")


def make_job(stage: Stage, name: str = "j") -> tuple[JobRecord, Job]:
    """A new job without batches."""
    record = JobRecord(stage.client, name)
    options = Options(folder="", batch_size=2, distances="auto")
    job, _ = record.create(origin="o", source="s", contract=CONTRACT, options=options, queue_prefix="")
    return record, job


def test_what_is_said_to_a_deleted_job_does_not_revive_it(stage: Stage) -> None:
    """Late workers, aggregators and producers find nothing, and leave nothing."""
    record, job = make_job(stage)
    producer = record.attach_producer(job.uid)
    send = record.add_batch(job.uid, producer, 0, ["a.jpg"])
    assert record.take(job.uid, 0, send, "h", 5) == Lease(attempt=1, losses=0)
    assert record.claim_aggregation("h", 5)
    record.delete()
    record.hand_back(job.uid, 0, "h", "no weights")
    assert record.agree_on_runtime(job.uid, RUNTIME) == {}
    record.go_on(job.uid)
    record.attach_producer(job.uid)
    record.release_aggregation(job.uid, "h", "disk full")
    assert record.commit(job.uid, 0, b"block", {"ok": 1}, 1) == "unknown"
    with pytest.raises(NotFinished):
        record.seal(job.uid, producer)
    assert not list(stage.client.scan_iter(f"{PREFIX}job:*"))


def test_a_stale_aggregators_problem_is_not_recorded(stage: Stage) -> None:
    """Another one is at it, perhaps with better luck."""
    record, job = make_job(stage)
    assert record.claim_aggregation("first", 5)
    stage.client.delete(f"{PREFIX}job:j:aggregation")
    assert record.claim_aggregation("second", 5)
    record.release_aggregation(job.uid, "first", "disk full")
    assert record.load().problem is None
    assert record.holds_aggregation("second")


def test_going_on_with_an_old_job_begins_its_time_anew(stage: Stage) -> None:
    """The reconciler removes what nobody has asked for in a long time, and only that."""
    settings = Settings(_env_file=None, redis_url=stage.server.url, lease_s=3, job_ttl_s=60)
    reconciler = Reconciler(None, stage.client, settings, "w")
    for name in ("wanted", "forgotten"):
        make_job(stage, name)
        stage.client.hset(f"{PREFIX}job:{name}", "updated_ms", 1)
    record = JobRecord(stage.client, "wanted")
    record.go_on(record.load().uid)
    reconciler.step()
    assert [job.name for job in list_jobs(stage.client)] == ["wanted"]


def test_a_record_of_another_version_hinders_nobody(stage: Stage) -> None:
    """It is named, left out, and can be cancelled."""
    make_job(stage, "mine")
    stage.client.hset(f"{PREFIX}job:other", mapping={"uid": "u", "version": "99", "batches": 3})
    stage.client.zadd(REGISTRY, {"other": 1})
    said: list[str] = []
    assert [job.name for job in list_jobs(stage.client, said.append)] == ["mine"]
    assert said == ["Job 'other' was made by another version of facequeue; finish or cancel it with that one."]
    with pytest.raises(WrongUsage):
        JobRecord(stage.client, "other").load()
    stage.client.hset(f"{PREFIX}job:other", mapping={"version": "1", "contract": "{"})
    with pytest.raises(WrongUsage, match="cannot be read"):
        JobRecord(stage.client, "other").load()
    cancel_job(stage.client, "other", stage.settings, mark_s=0)
    assert not stage.client.exists(f"{PREFIX}job:other")
    listed = stage.producer("jobs")
    assert (listed.returncode, "mine" in listed.stdout) == (0, True)
