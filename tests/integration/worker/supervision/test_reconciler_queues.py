"""The reconciler fills queues that nobody else fills."""

import pytest
import redis

from shared.store.jobs import JobRecord
from shared.store.worker_registry import Worker, announce
from tests.integration.conftest import LONG_S, FreshJob
from tests.support.jobs import make_job
from tests.support.reconciling import make_reconciler
from tests.support.stage import wait_until
from worker.supervision.reconciler import _JOBS_AT_ONCE

pytestmark = pytest.mark.usefixtures("guarded_transport")


def _wait_in_line(fresh: FreshJob, name: str, batches: int) -> None:
    record, job = make_job(fresh.stage, name)
    producer = record.attach_producer(job.uid)
    for batch in range(batches):
        record.add_batch(job.uid, producer, batch, [f"{batch}.jpg"])


def _with_tiles(fresh: FreshJob, tiles: int) -> None:
    fresh.complete()
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    assert fresh.record.add_tiles(fresh.uid, "w/9", "a" * 32, tiles) is None
    fresh.record.release_aggregation(fresh.uid, "w/9")


def test_queues_hold_as_many_messages_as_living_processes_serve_them(fresh: FreshJob) -> None:
    """Each queue by the workers that consume it, as they are at the beginning of a pass."""
    _wait_in_line(fresh, "k", 20)
    _with_tiles(fresh, 20)
    announce(fresh.client, Worker("one@h", ["embed"], 4, {}), LONG_S)
    announce(fresh.client, Worker("two@h", ["embed", "aggregate"], 5, {}), LONG_S)
    make_reconciler(fresh.stage, LONG_S).step()
    assert (fresh.client.llen("embed"), fresh.client.llen("aggregate")) == (9, 5)


def test_workers_are_counted_once_a_pass(fresh: FreshJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for each portion of its jobs."""
    for number in range(2 * _JOBS_AT_ONCE + 1):
        make_job(fresh.stage, f"k{number}")
    counted: list[str] = []
    monkeypatch.setattr(
        "worker.supervision.reconciler.note_processes", lambda _client, queue, _count: counted.append(queue)
    )
    monkeypatch.setattr("worker.supervision.reconciler._STEP_S", 0)
    reconciler = make_reconciler(fresh.stage, LONG_S)
    reconciler.step()
    while reconciler._round.after is not None:
        reconciler.step()
    assert sorted(counted) == ["aggregate", "embed"]


def test_tiles_that_nobody_sends_are_sent(fresh: FreshJob) -> None:
    """The process that added them died before it filled the queue."""
    _with_tiles(fresh, 2)
    make_reconciler(fresh.stage, LONG_S).step()
    assert fresh.client.llen("aggregate") == 2
    assert not fresh.client.exists("embed")


def test_lost_tiles_and_lost_batches_are_logged_as_such(fresh: FreshJob, caplog: pytest.LogCaptureFixture) -> None:
    """The actions have different names."""
    _with_tiles(fresh, 1)
    fresh.record.dispatch("aggregate", fresh.load().priority)
    reconciler = make_reconciler(fresh.stage)
    wait_until(lambda: reconciler.step() or fresh.client.llen("aggregate") == 1, 20, "it is requeued")
    assert [vars(record)["action"] for record in caplog.records if "was lost" in record.getMessage()] == ["tile_resent"]


def test_a_server_out_of_memory_is_no_damage(fresh: FreshJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job gets no problem, and the next step tries again."""
    fresh.add()

    def full(*_: object) -> None:
        raise redis.OutOfMemoryError

    monkeypatch.setattr(JobRecord, "find_unleased", full)
    with pytest.raises(redis.OutOfMemoryError):
        make_reconciler(fresh.stage).step()
    assert fresh.load().problem is None
