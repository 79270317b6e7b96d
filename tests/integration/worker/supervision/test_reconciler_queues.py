"""The reconciler fills queues that nobody else fills."""

import time

import pytest
import redis

from shared.domain.paths import RootPath
from shared.domain.priority import Priority
from shared.domain.queues import own_queue
from shared.store.jobs import JobRecord
from shared.store.keys import (
    DEAD_LETTERS,
    DIVERTED,
    METRICS,
    PREFIX,
    REGISTRY,
    UNFINISHED,
    WORKERS,
    set_aside_key,
    turns_key,
)
from shared.store.worker_registry import Worker, announce
from tests.integration.conftest import LONG_S, FreshJob
from tests.support.jobs import add_batch, make_job
from tests.support.reconciling import MOMENT_S, make_reconciler, messages_in
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


@pytest.mark.parametrize(
    "key", [REGISTRY, UNFINISHED, WORKERS, METRICS, DIVERTED, DEAD_LETTERS, turns_key("aggregate", Priority.LOW)]
)
def test_keys_of_another_kind_are_set_aside(fresh: FreshJob, key: str, caplog: pytest.LogCaptureFixture) -> None:
    """Another program has written there. One line names the key, and jobs go on, also those whose index is gone."""
    _wait_in_line(fresh, "k", 1)
    reconciler = make_reconciler(fresh.stage, LONG_S)
    fresh.client.delete(key)
    fresh.client.set(key, "7")
    wait_until(lambda: reconciler.step() or fresh.client.llen("embed") == 1, 20, "the batch is sent")
    assert fresh.client.get(set_aside_key(key)) == b"7"
    (line,) = (one for one in caplog.messages if "another program" in one)
    assert f"the key {key} had the type string" in line


def test_jobs_whose_list_is_lost_are_listed_again(fresh: FreshJob) -> None:
    """Also if the index of unfinished ones is lost as well; keys that are no jobs are not."""
    fresh.complete()
    fresh.finish()
    _wait_in_line(fresh, "k", 1)
    listed = fresh.client.zrange(REGISTRY, 0, -1, withscores=True)
    for key in (REGISTRY, UNFINISHED, f"{PREFIX}job:text"):
        fresh.client.delete(key)
        fresh.client.set(key, "7")
    fresh.client.hset(f"{PREFIX}job:odd", "created_ms", "long ago")
    make_reconciler(fresh.stage, LONG_S).step()
    assert fresh.client.zrange(REGISTRY, 0, -1, withscores=True) == listed
    assert fresh.client.zrange(UNFINISHED, 0, -1) == [b":k"]


def test_diversions_that_are_lost_are_entered_again(fresh: FreshJob) -> None:
    """Otherwise no worker would consume the job's own queue."""
    fresh.add()
    fresh.record.divert(fresh.load(), 0, "w/1", "w", "no weights")
    _wait_in_line(fresh, "k", 1)
    diverted = fresh.client.hgetall(DIVERTED)
    fresh.client.delete(DIVERTED)
    fresh.client.set(DIVERTED, "7")
    make_reconciler(fresh.stage, LONG_S).step()
    assert fresh.client.hgetall(DIVERTED) == diverted == {own_queue("", fresh.uid).encode(): b"j"}


def test_a_queue_that_is_none_stops_no_other(fresh: FreshJob, caplog: pytest.LogCaptureFixture) -> None:
    """Its jobs wait, tiles are sent; it is said once, until it has been removed."""
    _wait_in_line(fresh, "k", 1)
    _with_tiles(fresh, 2)
    fresh.client.set("embed", "7")
    reconciler = make_reconciler(fresh.stage)
    for _ in range(3):
        reconciler.step()
    assert (fresh.client.get("embed"), fresh.client.llen("aggregate")) == (b"7", 2)
    (line,) = (one for one in caplog.messages if "cannot be a queue" in one)
    assert "the key embed has the type string" in line and "Remove it" in line
    assert JobRecord(fresh.client, "k").load().problem is None
    fresh.client.delete("embed")
    reconciler.step()
    assert fresh.client.llen("embed") == 1


def test_a_diverted_jobs_queue_that_is_none_stops_no_other(fresh: FreshJob) -> None:
    """Its lost batches wait, and those of others are sent again."""
    fresh.add()
    fresh.record.divert(fresh.load(), 0, "w/1", "w", "no weights")
    fresh.client.set(own_queue("", fresh.uid), "7")
    record, job = make_job(fresh.stage, "other")
    add_batch(record, job.uid, record.attach_producer(job.uid), 0, [RootPath("a.jpg")])
    sends = fresh.record.find_unleased()
    reconciler = make_reconciler(fresh.stage)
    wait_until(lambda: reconciler.step() or fresh.client.llen("embed") == 1, 20, "it is requeued")
    assert [message["job"] for message in messages_in(fresh.stage)] == ["other"]
    assert fresh.record.find_unleased() == sends and fresh.load().problem is None


def test_a_lost_aggregation_waits_for_its_queue(fresh: FreshJob) -> None:
    """Nothing is counted against it while another program has the key."""
    fresh.complete()
    fresh.client.set("aggregate", "7")
    reconciler = make_reconciler(fresh.stage)
    wait_until(lambda: reconciler.step() or reconciler._round.before, 20, "a pass has ended")
    time.sleep(MOMENT_S)
    reconciler.step()
    assert (fresh.load().problem, fresh.load().lost_aggregations) == (None, 0)
    fresh.client.delete("aggregate")
    wait_until(lambda: reconciler.step() or fresh.client.llen("aggregate") == 1, 20, "it is requeued")


def test_a_server_out_of_memory_is_no_damage(fresh: FreshJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job gets no problem, and the next step tries again."""
    fresh.add()

    def full(*_: object) -> None:
        raise redis.OutOfMemoryError

    monkeypatch.setattr(JobRecord, "find_unleased", full)
    with pytest.raises(redis.OutOfMemoryError):
        make_reconciler(fresh.stage).step()
    assert fresh.load().problem is None
