"""Leases and locks that expire or change their holder between two calls of the old holder."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from producer.submission.backpressure import Backpressure
from producer.submission.heartbeat import attach
from shared.store.jobs import JobRecord
from shared.store.keys import PREFIX
from tests.integration.conftest import LONG_S, FreshJob
from tests.support.interrupted_client import interrupted
from tests.support.jobs import add_batch, make_job
from tests.support.stage import Stage
from worker.supervision.reconciler import Reconciler

SHORT_S = 100
LOCK = f"{PREFIX}reconciler:"


def _changes_hands(fresh: FreshJob) -> Callable[[], object]:
    def change() -> None:
        fresh.client.delete(fresh.key("aggregation"))
        assert fresh.record.claim_aggregation("w/8", SHORT_S)

    return change


def test_a_claim_that_runs_out_on_its_release_is_the_next_ones(fresh: FreshJob) -> None:
    """The late holder neither ends the new lease nor records its own problem."""
    fresh.complete()
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    late = JobRecord(interrupted(fresh.stage, _changes_hands(fresh)), "j")
    late.release_aggregation(fresh.uid, "w/9")
    assert fresh.record.holds_aggregation("w/8")
    late = JobRecord(interrupted(fresh.stage, lambda: None), "j")
    late.release_aggregation(fresh.uid, "w/9", "disk full")
    assert (fresh.record.holds_aggregation("w/8"), fresh.load().problem) == (True, None)


def test_a_claim_that_runs_out_on_its_renewal_is_not_prolonged(fresh: FreshJob) -> None:
    """If the next holder died, its lease would otherwise last too long."""
    fresh.complete()
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    JobRecord(interrupted(fresh.stage, _changes_hands(fresh)), "j").renew_aggregation("w/9", LONG_S)
    assert fresh.record.holds_aggregation("w/8")
    assert fresh.client.pttl(fresh.key("aggregation")) <= 2 * SHORT_S * 1000


def test_an_aggregator_of_before_does_not_claim_a_new_job_of_the_name(fresh: FreshJob) -> None:
    """It would write the old job's results from the new job's blocks and block the new job's aggregator."""
    fresh.complete()
    before = fresh.uid
    fresh.record.delete()
    _, again = make_job(fresh.stage)
    assert not fresh.record.claim_aggregation("w/9", LONG_S, uid=before)
    assert not fresh.record.aggregation_claimed()
    assert fresh.record.claim_aggregation("w/8", LONG_S, uid=again.uid)
    fresh.record.delete()
    assert not fresh.record.claim_aggregation("w/9", LONG_S, uid=before)
    assert not list(fresh.client.scan_iter(f"{fresh.key()}*"))


def _reconciler(stage: Stage, client: Any, name: str, lease_s: float = LONG_S) -> Reconciler:
    return Reconciler(None, client, stage.settings.model_copy(update={"lease_s": lease_s}), name)


def test_an_election_that_runs_out_on_its_renewal_is_the_next_ones(fresh: FreshJob) -> None:
    """A worker that was suspended neither takes over nor renews the other worker's lock."""

    def change() -> None:
        fresh.client.delete(LOCK)
        _reconciler(fresh.stage, fresh.client, "v", SHORT_S).step()

    late = _reconciler(fresh.stage, fresh.client, "w")
    late.step()
    client = interrupted(fresh.stage, lambda: None)
    calls = 0

    def behind_each() -> None:
        nonlocal calls
        calls += 1
        if calls == 2 or fresh.client.get(LOCK) != b"w":
            change()
        else:
            client.happens = behind_each

    client.happens = behind_each
    assert fresh.client.pttl(LOCK) > 2 * SHORT_S * 1000
    _reconciler(fresh.stage, client, "w")._is_elected()
    if fresh.client.get(LOCK) == b"w":  # nothing came in between
        change()
    assert fresh.client.get(LOCK) == b"v"
    assert fresh.client.pttl(LOCK) <= SHORT_S * 1000


def test_an_election_that_runs_out_on_resigning_is_the_next_ones(fresh: FreshJob) -> None:
    """Otherwise two reconcilers would run at once."""
    _reconciler(fresh.stage, fresh.client, "w").step()

    def change() -> None:
        fresh.client.delete(LOCK)
        _reconciler(fresh.stage, fresh.client, "v").step()

    _reconciler(fresh.stage, interrupted(fresh.stage, change), "w").resign()
    assert fresh.client.get(LOCK) == b"v"


@pytest.mark.timeout(60)
def test_a_removal_does_not_spin_on_blocks_without_a_record(fresh: FreshJob) -> None:
    """The server may have evicted the record but not the list of its blocks."""
    fresh.take(0, fresh.add())
    fresh.commit()
    fresh.client.delete(fresh.key())
    record = JobRecord(fresh.client, "j")
    thread = threading.Thread(target=record.delete, daemon=True)
    thread.start()
    thread.join(10)
    spins = thread.is_alive()
    fresh.client.delete(fresh.key("stored"))  # ends it where it does
    assert not spins
    assert not list(fresh.client.scan_iter(f"{fresh.key()}*"))


@pytest.mark.parametrize("where", ["the call", "the look for open batches"])
def test_a_full_server_that_goes_away_for_a_moment_is_waited_for(
    fresh: FreshJob, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The time that the producer has waited for memory does not count."""
    fresh.add()
    settings = fresh.stage.settings.model_copy(update={"worker_timeout_s": 1.0})
    gate = Backpressure(fresh.client, fresh.record, settings, lambda line: None, lambda: False)
    full_until, away = time.monotonic() + 1.5, [redis.ConnectionError("away")]
    look = JobRecord.open_batches

    def look_or_fail(record: JobRecord) -> int:
        if where != "the call" and away:
            raise away.pop()
        return look(record)

    def call() -> str:
        if time.monotonic() < full_until:
            raise redis.OutOfMemoryError("full")
        if where == "the call" and away:
            raise away.pop()
        return "done"

    monkeypatch.setattr(JobRecord, "open_batches", look_or_fail)
    assert gate.pass_through(call) == "done"
    assert not away


@pytest.mark.parametrize("error", [redis.OutOfMemoryError("full"), redis.ConnectionError("away")])
def test_trouble_that_lasts_ends_the_wait(fresh: FreshJob, error: redis.RedisError) -> None:
    """Without open batches nobody frees memory."""
    settings = fresh.stage.settings.model_copy(update={"worker_timeout_s": 0.5})
    gate = Backpressure(fresh.client, fresh.record, settings, lambda line: None, lambda: False)

    def call() -> None:
        raise error

    with pytest.raises(type(error)):
        gate.pass_through(call)


def test_a_server_whose_clock_was_set_back_keeps_no_producer_out(fresh: FreshJob) -> None:
    """A dead producer's lease then seems to last for hours. The next producer waits two leases by its own clock."""
    lease_s = 0.5
    assert isinstance(fresh.record.attach_alone(fresh.uid, 3600), str)
    backpressure = Backpressure(fresh.client, fresh.record, fresh.stage.settings, lambda line: None, lambda: False)
    found: list[str] = []

    def go_on() -> None:
        found.append(attach(backpressure, fresh.record, fresh.job, lease_s, take_over=False))

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    thread.join(10)
    assert found
    assert add_batch(fresh.record, fresh.uid, found[0], 0, ["a.jpg"]) == 1
