"""The job record on a real server: interrupted, stale and missing records do no harm."""

import pytest

from producer.submission.jobs import cancel_job
from shared.config.settings import Settings
from shared.domain.errors import InvalidRequest, NotFinished
from shared.domain.job import RECORD_VERSION
from shared.store.jobs import JobRecord, list_jobs
from shared.store.keys import PREFIX, REGISTRY
from shared.store.leases import Lease
from tests.support.jobs import RUNTIME, add_batch, finish_job, make_job
from tests.support.stage import Stage
from worker.supervision.reconciler import Reconciler


def test_what_is_said_to_a_deleted_job_does_not_revive_it(stage: Stage) -> None:
    """Late workers, aggregators and producers find nothing and create nothing."""
    record, job = make_job(stage)
    producer = record.attach_producer(job.uid)
    send = add_batch(record, job.uid, producer, 0, ["a.jpg"])
    assert record.take(job.uid, 0, send, "h", 5) == Lease(attempt=1, losses=0)
    assert record.claim_aggregation("h", 5)
    record.delete()
    record.divert(job, 0, "h", "w", "no weights")
    assert record.agree_on_runtime(job.uid, RUNTIME) == {}
    record.go_on(job.uid)
    record.attach_producer(job.uid)
    record.release_aggregation(job.uid, "h", "disk full")
    assert record.commit(job.uid, 0, b"block", {"ok": 1}, 1) == "unknown"
    with pytest.raises(NotFinished):
        record.seal(job.uid, producer)
    assert not list(stage.client.scan_iter(f"{PREFIX}job:*"))


def test_a_stale_aggregators_problem_is_not_recorded(stage: Stage) -> None:
    """Another aggregator holds the lease and may succeed."""
    record, job = make_job(stage)
    assert record.claim_aggregation("first", 5)
    stage.client.delete(f"{PREFIX}job:j:aggregation")
    assert record.claim_aggregation("second", 5)
    record.release_aggregation(job.uid, "first", "disk full")
    assert record.load().problem is None
    assert record.holds_aggregation("second")


def test_going_on_with_an_old_job_begins_its_time_anew(stage: Stage) -> None:
    """The reconciler removes only jobs that nobody has asked for in a long time."""
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
    """It is reported and skipped, and it can be cancelled."""
    make_job(stage, "mine")
    stage.client.hset(f"{PREFIX}job:other", mapping={"uid": "u", "version": "99", "batches": 3})
    stage.client.zadd(REGISTRY, {"other": 1})
    said: list[str] = []
    assert [job.name for job in list_jobs(stage.client, said.append)] == ["mine"]
    assert said == [
        "The record of job 'other' cannot be read: another version of facequeue made it, which can finish it."
    ]
    with pytest.raises(InvalidRequest):
        JobRecord(stage.client, "other").load()
    stage.client.hset(f"{PREFIX}job:other", mapping={"version": RECORD_VERSION, "contract": "{}"})
    with pytest.raises(InvalidRequest, match=r": its contract is not one of this version of facequeue \(no .*\)\.$"):
        JobRecord(stage.client, "other").load()
    stage.client.hset(f"{PREFIX}job:other", mapping={"contract": "{"})
    with pytest.raises(InvalidRequest, match="cannot be read"):
        JobRecord(stage.client, "other").load()
    cancel_job(stage.client, "other", stage.settings, mark_s=0)
    assert not stage.client.exists(f"{PREFIX}job:other")
    listed = stage.producer("jobs")
    assert (listed.returncode, "mine" in listed.stdout) == (0, True)


def test_messages_of_before_a_retry_are_a_strangers(stage: Stage) -> None:
    """A retry starts with batch 0 again. An old message or a late worker must not match it."""
    record, _ = make_job(stage)
    before = finish_job(record, {1: "b.jpg"})
    assert record.reopen(record.load()) == 1
    job = record.load()
    assert (job.state, job.images, job.images_done, job.retries, job.outcomes) == ("enqueuing", 1, 1, 1, {"ok": 1})
    producer = record.attach_producer(job.uid)
    send = add_batch(record, job.uid, producer, 0, ["b.jpg"])
    assert record.take(before.uid, 0, 1, "late", 5) == "unknown"
    assert record.commit(before.uid, 0, b"old", {"ok": 2}, 2) == "unknown"
    assert record.take(job.uid, 0, send, "h", 5) == Lease(attempt=1, losses=0)
    assert record.failed_images() == {1: "b.jpg"}
    with pytest.raises(InvalidRequest, match="enqueuing"):
        record.reopen(record.load())


def test_a_message_that_was_sent_again_is_not_taken(stage: Stage) -> None:
    """Only the latest message of a batch counts."""
    record, job = make_job(stage)
    producer = record.attach_producer(job.uid)
    first = add_batch(record, job.uid, producer, 0, ["a.jpg"])
    again = record.resend(job.uid, 0, str(first))
    assert again is not None
    assert record.take(job.uid, 0, first, "h", 5) == "sent again"
    assert record.take(job.uid, 0, again.send, "h", 5) == Lease(attempt=1, losses=0)


def test_a_new_job_of_a_half_cancelled_name_begins_empty(stage: Stage) -> None:
    """Everything that an interrupted cancellation left behind is removed."""
    record, job = make_job(stage)
    producer = record.attach_producer(job.uid)
    add_batch(record, job.uid, producer, 0, ["a.jpg"])
    stage.client.hset(f"{PREFIX}job:j", "state", "cancelled")  # and no more: the process died here
    record, again = make_job(stage)
    assert (again.uid != job.uid, again.images, record.open_batches()) == (True, 0, 0)
    assert {key.decode() for key in stage.client.scan_iter(f"{PREFIX}job:*")} == {f"{PREFIX}job:j"}
