"""What is lost is noticed behind a queue of any length, and is not sent behind it."""

import time

import kombu.transport
import pytest

from producer.enqueue import cancel_job
from shared.celery_app import make_celery, send_batch
from shared.job import Job, JobRecord
from shared.messages import EmbedBatch, task_id
from shared.settings import Settings
from shared.waiting import waiting_tasks
from tests.conftest import Stage
from tests.integration.test_job_record import make_job
from worker.reconcile import Reconciler
from worker.transport import use_guarded_transport

LEASE_S = 0.3


@pytest.fixture(autouse=True)
def _as_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    # kombu remembers what a scheme meant when this process used it first.
    monkeypatch.setattr(kombu.transport, "_transport_cache", {})
    use_guarded_transport()


def _settings(stage: Stage) -> Settings:
    return stage.settings.model_copy(update={"lease_s": LEASE_S})


def _enqueue(stage: Stage, name: str, batches: int, *, lost: int | None = None) -> tuple[JobRecord, Job]:
    """A job with its messages, but for one."""
    record, job = make_job(stage, name)
    app, producer = make_celery(stage.settings), record.attach_producer(job.uid)
    for batch in range(batches):
        send = record.add_batch(job.uid, producer, batch, ["a.jpg"])
        if batch != lost:
            message = EmbedBatch(version=1, job=name, uid=job.uid, batch=batch, send=send, images=["a.jpg"])
            send_batch(app, stage.settings, "embed", message)
    return record, job


def _reconcile(stage: Stage, seconds: float) -> None:
    reconciler = Reconciler(make_celery(stage.settings), stage.client, _settings(stage), "w")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        reconciler.step()
        time.sleep(LEASE_S / 5)


def _next(stage: Stage) -> str:
    """The task id of the message that is taken next."""
    return next(
        one for one in waiting_tasks(stage.client, "embed") if f'"{one}"' in stage.client.lindex("embed", -1).decode()
    )


def test_a_lost_message_goes_before_those_that_wait(stage: Stage) -> None:
    """Also the last of its job, with another job's messages behind it; what only waits is left alone."""
    _enqueue(stage, "a", 4, lost=3)
    _enqueue(stage, "b", 5)
    _reconcile(stage, 4 * LEASE_S)
    assert _next(stage) == task_id("a", 3, 5)
    assert stage.client.llen("embed") == 3 + 1 + 5
    _reconcile(stage, 4 * LEASE_S)
    assert stage.client.llen("embed") == 9  # once is enough


def test_a_lease_that_ran_out_is_not_waited_for(stage: Stage) -> None:
    """Its worker died with the message in its hands; the queue behind it is long."""
    record, job = _enqueue(stage, "a", 30)
    stage.client.rpop("embed")
    record.take(job.uid, 0, 1, "w/1", 0.1)
    _reconcile(stage, 4 * LEASE_S)
    assert _next(stage) == task_id("a", 0, 31)


def test_cancelling_takes_the_messages_along(stage: Stage) -> None:
    """There may be no worker that would find them unwanted."""
    _enqueue(stage, "a", 3)
    _enqueue(stage, "a.b", 2)
    cancel_job(stage.client, "a", stage.settings)
    assert waiting_tasks(stage.client, "embed") == {task_id("a.b", 0, 1), task_id("a.b", 1, 2)}


def test_an_aggregator_that_dies_each_time_is_given_up(stage: Stage) -> None:
    """With a word for whoever follows; `aggregate` begins anew."""
    record, job = make_job(stage, "a")
    assert record.seal(job.uid, record.attach_producer(job.uid)) is True
    deadline = time.monotonic() + 20
    reconciler = Reconciler(make_celery(stage.settings), stage.client, _settings(stage), "w")
    while record.load().problem is None and time.monotonic() < deadline:
        reconciler.step()
        stage.client.delete("aggregate")  # as if it were taken by an aggregator that dies
        time.sleep(LEASE_S / 5)
    assert "died 5 times" in str(record.load().problem)
    reconciler.step()
    assert stage.client.llen("aggregate") == 0
    record.go_on(job.uid)
    for _ in range(10):
        reconciler.step()
        time.sleep(LEASE_S / 5)
    assert stage.client.llen("aggregate") == 1


def test_a_retry_goes_to_the_jobs_own_queue(stage: Stage) -> None:
    """Not to that of whoever types the command."""
    record, _ = make_job(stage, "a")
    stage.client.hset(
        "facequeue:job:a", mapping={"queue_prefix": "run-1-", "state": "finished", "images": 1, "images_done": 1}
    )
    stage.client.hset("facequeue:job:a:failed", "0", '["b.jpg"]')
    done = stage.producer("retry", "a", FACEQUEUE_WORKER_TIMEOUT_S="1")
    assert done.returncode == 4, done.stderr
    assert (stage.client.llen("run-1-embed"), stage.client.llen("embed")) == (1, 0)
    assert record.load().retries == 1
