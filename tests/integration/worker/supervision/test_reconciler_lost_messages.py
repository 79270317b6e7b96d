"""Lost messages are found behind a queue of any length, and are not requeued behind it."""

import time

import pytest

from shared.config.settings import Settings
from shared.domain.job import Job
from shared.domain.task_ids import aggregated_job, embed_task_id
from shared.messaging.celery_app import make_celery, send_aggregate, send_batch
from shared.messaging.messages import Aggregate, EmbedBatch
from shared.store.jobs import JobRecord
from shared.store.queue_inspection import waiting_tasks
from tests.support.guarded_transport import use_it_in_this_test
from tests.support.jobs import add_batch, make_job
from tests.support.stage import Stage, wait_until
from worker.supervision.reconciler import Reconciler

LEASE_S = 0.3


@pytest.fixture(autouse=True)
def _as_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    use_it_in_this_test(monkeypatch)


def _settings(stage: Stage) -> Settings:
    return stage.settings.model_copy(update={"lease_s": LEASE_S})


def _enqueue(stage: Stage, name: str, batches: int, *, lost: int | None = None) -> tuple[JobRecord, Job]:
    """A job with all its messages except one."""
    record, job = make_job(stage, name)
    app, producer = make_celery(stage.settings), record.attach_producer(job.uid)
    for batch in range(batches):
        send = add_batch(record, job.uid, producer, batch, ["a.jpg"])
        if batch != lost:
            message = EmbedBatch(version=1, job=name, uid=job.uid, batch=batch, send=send, images=["a.jpg"])
            send_batch(app, stage.settings, "embed", message)
    return record, job


def _complete(stage: Stage, name: str) -> tuple[JobRecord, Job]:
    """A complete job whose aggregation was never sent."""
    record, job = make_job(stage, name)
    assert record.seal(job.uid, record.attach_producer(job.uid)) is True
    return record, job


def _reconciler(stage: Stage) -> Reconciler:
    return Reconciler(make_celery(stage.settings), stage.client, _settings(stage), "w")


def _reconcile(stage: Stage, seconds: float) -> None:
    reconciler = _reconciler(stage)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        reconciler.step()
        time.sleep(LEASE_S / 5)


def _next(stage: Stage) -> str:
    """The task id of the next message."""
    return next(
        one for one in waiting_tasks(stage.client, "embed") if f'"{one}"' in stage.client.lindex("embed", -1).decode()
    )


def test_a_lost_message_goes_before_those_that_wait(stage: Stage) -> None:
    """This includes the last message of a job with another job's messages behind it. Waiting ones stay."""
    _enqueue(stage, "a", 4, lost=3)
    _enqueue(stage, "b", 5)
    _reconcile(stage, 4 * LEASE_S)
    assert _next(stage) == embed_task_id("a", 3, 5)
    assert stage.client.llen("embed") == 3 + 1 + 5
    _reconcile(stage, 4 * LEASE_S)
    assert stage.client.llen("embed") == 9  # once is enough


def test_a_lease_that_ran_out_is_not_waited_for(stage: Stage) -> None:
    """Its worker died while it had the message, and the queue behind it is long."""
    record, job = _enqueue(stage, "a", 30)
    stage.client.rpop("embed")
    record.take(job.uid, 0, 1, "w/1", 0.1)
    _reconcile(stage, 4 * LEASE_S)
    assert _next(stage) == embed_task_id("a", 0, 31)


def test_an_aggregator_that_dies_each_time_is_given_up(stage: Stage) -> None:
    """Commands that follow the job see why, even if each crash ends the whole worker. `aggregate` restarts it."""
    record, job = _complete(stage, "a")
    for deaths in range(5):
        reconciler = _reconciler(stage)  # a worker killed for memory comes back remembering nothing
        wait_until(lambda r=reconciler: r.step() or stage.client.llen("aggregate"), 20, "it is requeued")
        assert record.load().lost_aggregations == deaths + 1
        stage.client.delete("aggregate")  # as if it were taken by an aggregator that dies
    reconciler = _reconciler(stage)
    wait_until(lambda: reconciler.step() or record.load().problem, 20, "it is given up")
    assert "died 5 times" in str(record.load().problem)
    reconciler.step()
    assert stage.client.llen("aggregate") == 0
    record.go_on(job.uid)
    wait_until(lambda: reconciler.step() or stage.client.llen("aggregate"), 20, "it is requeued")
    assert (record.load().problem, record.load().lost_aggregations) == (None, 1)


def test_a_lost_aggregation_is_sent_while_others_wait(stage: Stage) -> None:
    """This includes a job whose name starts like another's. A waiting aggregation is left alone."""
    app = make_celery(stage.settings)
    for name in ("a.b", "ab"):
        _, other = _complete(stage, name)
        send_aggregate(app, "aggregate", Aggregate(version=1, job=name, uid=other.uid))
    _complete(stage, "a")
    reconciler = _reconciler(stage)
    wait_until(
        lambda: (
            reconciler.step()
            or set(map(aggregated_job, waiting_tasks(stage.client, "aggregate"))) == {"a", "a.b", "ab"}
        ),
        20,
        "it is sent",
    )
    _reconcile(stage, 4 * LEASE_S)
    assert stage.client.llen("aggregate") == 3  # once is enough


def test_lost_aggregations_are_counted_of_this_job_alone(stage: Stage) -> None:
    """Not for a reopened job or one that waits for no results. The end resets the count."""
    record, job = make_job(stage, "a")
    assert record.count_lost_aggregation(job.uid) is False
    assert record.seal(job.uid, record.attach_producer(job.uid)) is True
    assert record.count_lost_aggregation("another") is False
    assert record.count_lost_aggregation(job.uid) is True
    record.note_problem(job.uid, "no room", lost=1)
    record.go_on("another")
    assert (record.load().lost_aggregations, record.load().problem) == (1, "no room")
    assert record.claim_aggregation("h", 5)
    assert record.finish(job, "h", 60, {0: "a.jpg"}) == "finished"
    assert record.count_lost_aggregation(job.uid) is False
    assert record.load().lost_aggregations == 0


def test_a_retry_begins_without_lost_aggregations(stage: Stage) -> None:
    """Earlier lost aggregations do not count."""
    record, job = _complete(stage, "a")
    assert record.claim_aggregation("h", 5)
    assert record.finish(job, "h", 60, {0: "a.jpg"}) == "finished"
    stage.client.hset(
        "facequeue:job:a", "lost_aggregations", 5
    )  # as a reconciler of the version before may have left it
    assert record.reopen(record.load()) == 1
    assert record.load().lost_aggregations == 0


def test_a_retry_goes_to_the_jobs_own_queue(stage: Stage) -> None:
    """Not to the queue of the process that runs the command."""
    record, _ = make_job(stage, "a")
    stage.client.hset(
        "facequeue:job:a", mapping={"queue_prefix": "run-1-", "state": "finished", "images": 1, "images_done": 1}
    )
    stage.client.hset("facequeue:job:a:failed", "0", '["b.jpg"]')
    done = stage.producer("retry", "a", FACEQUEUE_WORKER_TIMEOUT_S="1")
    assert done.returncode == 4, done.stderr
    assert (stage.client.llen("run-1-embed"), stage.client.llen("embed")) == (1, 0)
    assert record.load().retries == 1
