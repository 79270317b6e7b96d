"""A worker says of a job whose record it cannot read that it cannot serve it, and leaves the job to others."""

import pytest

from shared.domain.paths import RootPath
from shared.domain.queues import own_queue
from shared.messaging.celery_app import make_celery
from shared.messaging.messages import Aggregate, EmbedBatch, PairTile
from tests.integration.conftest import FreshJob
from tests.support.reconciling import messages_in
from worker.answers import AnswerKind
from worker.execution.batch_executor import BatchExecutor
from worker.execution.connections import Connections
from worker.execution.job_aggregator import JobAggregator
from worker.execution.tile_executor import TileExecutor
from worker.models.loader import ModelLoader

pytestmark = pytest.mark.usefixtures("guarded_transport")


def _executor(fresh: FreshJob) -> BatchExecutor:
    settings = fresh.stage.settings
    return BatchExecutor(settings, make_celery(settings), Connections(settings), ModelLoader(settings))


def _batch(uid: str) -> EmbedBatch:
    return EmbedBatch(version=1, job="j", uid=uid, batch=0, send=1, images=[RootPath("0.jpg")])


@pytest.mark.parametrize("change", [("version", "99"), ("options", '{"aura": "blue"}'), ("contract", "{}")])
def test_its_messages_go_to_those_who_can_read_it(
    fresh: FreshJob, change: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Each worker notes its reason once in the record, where producers of that version see it, and once in its log."""
    fresh.add()
    before = fresh.client.hget(fresh.key(), change[0])
    fresh.client.hset(fresh.key(), *change)
    executor, queue = _executor(fresh), own_queue("", fresh.uid)
    for worker in ("w", "w", "v"):
        answer = executor.execute(_batch(fresh.uid), worker)
        assert (answer.kind, "cannot be read" in answer.reason) == (AnswerKind.REFUSED, True)
    assert [message["batch"] for message in messages_in(fresh.stage, queue)] == [0, 0, 0]
    assert caplog.text.count("does not serve job j") == 2
    fresh.client.hset(fresh.key(), change[0], before)
    job = fresh.record.load()
    assert job.diverted and job.refusal is not None
    assert fresh.record.refusals().keys() == {"w", "v"}
    assert fresh.record.open_batches() == 1


def test_messages_of_an_earlier_job_of_the_name_are_dropped(fresh: FreshJob) -> None:
    """The record of another version has another uid, and nothing is noted in it."""
    fresh.add()
    fresh.client.hset(fresh.key(), "version", "99")
    assert _executor(fresh).execute(_batch("1" * 32), "w").kind is AnswerKind.NOT_WANTED
    assert fresh.client.hget(fresh.key(), "diverted") is None
    assert not fresh.record.refusals()


@pytest.mark.parametrize("kind", ["aggregation", "tile"])
def test_aggregators_say_so_too(fresh: FreshJob, kind: str) -> None:
    """The job record has the reason, and nothing is written."""
    fresh.complete()
    fresh.client.hset(fresh.key(), "version", "99")
    settings = fresh.stage.settings
    app, connections = make_celery(settings), Connections(settings)
    if kind == "tile":
        tile = PairTile(version=1, job="j", uid=fresh.uid, batch=1, send=2, stage="0" * 32)
        answer = TileExecutor(settings, app, connections).execute(tile, "w")
    else:
        wanted = Aggregate(version=1, job="j", uid=fresh.uid)
        answer = JobAggregator(settings, app, connections, threads=1).aggregate(wanted, "w")
    assert answer.kind is AnswerKind.NOT_WANTED
    assert b"another version of facequeue" in fresh.client.hget(fresh.key(), "refusal")
    assert fresh.client.hget(fresh.key(), "state") == b"sealed"
    assert not (settings.results_dir / "j").exists()
