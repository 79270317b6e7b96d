"""The connection or the server fails after the server has executed a command: nothing is lost or done twice."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from shared.config.settings import Settings
from shared.domain.errors import ResultsError
from shared.domain.job import Job
from shared.messaging.celery_app import make_celery, send_aggregate
from shared.messaging.messages import Aggregate, EmbedBatch
from shared.store.jobs import JobRecord
from shared.store.keys import PREFIX
from shared.store.leases import Lease
from shared.store.redis_client import connect
from tests.support.guarded_transport import use_it_in_this_test
from tests.support.jobs import add_batch, make_job
from tests.support.lossy_proxy import LossyProxy
from tests.support.stage import Stage, wait_until
from worker.answers import AnswerKind, TaskAnswer
from worker.execution import batch_executor, job_aggregator
from worker.execution.batch_executor import BatchExecutor
from worker.execution.connections import Connections
from worker.execution.job_aggregator import JobAggregator
from worker.models.loader import ModelLoader
from worker.vision.pipeline import Networks

IMAGE = "hopper/smaller.jpg"
LONG_S = 600


@pytest.fixture(autouse=True)
def _as_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    use_it_in_this_test(monkeypatch)


@pytest.fixture
def proxy(stage: Stage) -> Iterator[LossyProxy]:
    """A proxy to the stage's server."""
    made = LossyProxy(stage.server.url)
    yield made
    made.close()


def _sealed_job(stage: Stage, *images: str) -> tuple[JobRecord, Job]:
    """A sealed job with one batch."""
    record, job = make_job(stage)
    producer = record.attach_producer(job.uid)
    add_batch(record, job.uid, producer, 0, list(images))
    record.seal(job.uid, producer)
    return record, job


def _execute(stage: Stage, sample: Path, job: Job, url: str) -> TaskAnswer:
    """Executes the job's batch as a worker process that reaches the server at this address."""
    settings = stage.settings.model_copy(update={"redis_url": url, "data_root": sample})
    executor = BatchExecutor(settings, make_celery(settings), Connections(settings), ModelLoader(settings))
    message = EmbedBatch(version=1, job=job.name, uid=job.uid, batch=0, send=1, images=[IMAGE])
    return executor.execute(message, "worker@here")


def test_a_commit_whose_answer_is_lost_is_known_as_ones_own(stage: Stage, proxy: LossyProxy) -> None:
    """The client repeats the command and gets the same answer. Counters rise once."""
    record, job = _sealed_job(stage, IMAGE)
    assert isinstance(record.take(job.uid, 0, 1, "w/1", LONG_S), Lease)
    through = JobRecord(connect(stage.settings.model_copy(update={"redis_url": proxy.url})), job.name)
    proxy.lose_answer_to(b"my block")
    assert through.commit(job.uid, 0, b"my block", {"ok": 1}, 1) == "last"
    assert proxy.lost == 1
    assert record.commit(job.uid, 0, b"another's block", {"ok": 1}, 1) == "done"
    assert (record.load().images_done, record.load().faces, record.blocks([0])) == (1, 1, [b"my block"])


def test_the_aggregation_is_sent_though_the_answer_to_the_last_commit_is_lost(
    stage: Stage, proxy: LossyProxy, sample: Path, networks: Networks
) -> None:
    """The worker sends it, without the reconciler, and its images count as done."""
    _, job = _sealed_job(stage, IMAGE)
    proxy.lose_answer_to(b"worker@here-")  # in the block
    answer = _execute(stage, sample, job, proxy.url)
    assert proxy.lost == 1
    assert (answer.kind, answer.images) == (AnswerKind.STORED, 1)
    assert stage.client.llen("aggregate") == 1


def _start_again_when_missed(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Kills the server, and restarts it when a client has noticed."""

    def start() -> None:
        wait_until(lambda: "does not take the result" in caplog.text, 60, "somebody waits for the server")
        stage.server.start()

    stage.server.kill()
    threading.Thread(target=start, daemon=True).start()


def test_the_aggregation_is_sent_though_the_server_goes_after_the_last_commit(
    stage: Stage, sample: Path, networks: Networks, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker waits until the server is back. kombu raises another error than redis-py."""
    _, job = _sealed_job(stage, IMAGE)
    sends: list[Aggregate] = []

    def send(app: Any, queue: str, message: Aggregate) -> None:
        if not sends:
            _start_again_when_missed(stage, caplog)
        sends.append(message)
        send_aggregate(app, queue, message)

    monkeypatch.setattr(batch_executor, "send_aggregate", send)
    assert _execute(stage, sample, job, stage.server.url).kind is AnswerKind.STORED
    assert len(sends) > 1
    assert stage.client.llen("aggregate") == 1


def _aggregate(stage: Stage, monkeypatch: pytest.MonkeyPatch, fail: Callable[[], None]) -> tuple[JobRecord, TaskAnswer]:
    """Aggregates a complete job whose results cannot be written because `fail` raises."""
    record, job = make_job(stage)
    assert record.seal(job.uid, record.attach_producer(job.uid))

    def write_results(*_: object, **__: object) -> None:
        fail()

    monkeypatch.setattr(job_aggregator, "write_results", write_results)
    aggregator = JobAggregator(stage.settings, make_celery(stage.settings), Connections(stage.settings), threads=1)
    return record, aggregator.aggregate(Aggregate(version=1, job=job.name, uid=job.uid), "worker@here")


def test_a_claim_is_released_though_the_server_is_away_for_a_moment(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason is recorded, and nobody has to wait until the lease expires."""

    def fail() -> None:
        _start_again_when_missed(stage, caplog)
        raise ResultsError("no room")

    _keep_leases_long(stage)
    record, answer = _aggregate(stage, monkeypatch, fail)
    assert (answer.kind, answer.reason) == (AnswerKind.FAILED, "no room")
    assert (record.load().problem, record.aggregation_claimed()) == ("no room", False)


def test_an_aggregator_that_lost_the_server_releases_its_claim(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No problem is recorded. The reconciler requeues the aggregation, and the next aggregator can lease it at once."""

    def fail() -> None:
        _start_again_when_missed(stage, caplog)
        raise redis.ConnectionError("gone")

    _keep_leases_long(stage)
    with pytest.raises(redis.ConnectionError, match="gone"):
        _aggregate(stage, monkeypatch, fail)
    record = JobRecord(stage.client, "j")
    assert (record.load().problem, record.aggregation_claimed()) == (None, False)


@pytest.mark.parametrize("since", ["nobody", "another aggregator", "another finished it"])
def test_an_aggregator_whose_claim_ran_out_publishes_if_nobody_has_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, since: str
) -> None:
    """This happens after an outage longer than its lease: a long aggregation would otherwise be wasted."""
    _keep_leases_long(stage)
    record, job = make_job(stage)
    assert record.seal(job.uid, record.attach_producer(job.uid))
    asked = JobRecord.holds_aggregation

    def runs_out(of: JobRecord, holder: str) -> bool:
        stage.client.delete(f"{PREFIX}job:j:aggregation")
        if since == "another aggregator":
            assert of.claim_aggregation("w/8", LONG_S, uid=job.uid)
        elif since == "another finished it":
            stage.client.hset(f"{PREFIX}job:j", "state", "finished")
        return asked(of, holder)

    monkeypatch.setattr(JobRecord, "holds_aggregation", runs_out)
    aggregator = JobAggregator(stage.settings, make_celery(stage.settings), Connections(stage.settings), threads=1)
    answer = aggregator.aggregate(Aggregate(version=1, job=job.name, uid=job.uid), "worker@here")
    assert answer.kind is (AnswerKind.FINISHED if since == "nobody" else AnswerKind.FAILED)
    assert (stage.results / "j").exists() == (since == "nobody")


def test_an_aggregation_that_the_server_refuses_says_why(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example a damaged record, which would be retried forever."""

    def fail() -> None:
        stage.client.lpush(f"{PREFIX}job:j", "7")

    record, answer = _aggregate(stage, monkeypatch, fail)
    assert answer.kind is AnswerKind.FAILED
    assert "WRONGTYPE" in str(record.load().problem)


def _keep_leases_long(stage: Stage) -> None:
    """Makes leases long, so that released ones have not simply expired."""
    stage.settings = Settings(_env_file=None, redis_url=stage.server.url, lease_s=LONG_S, results_dir=stage.results)
