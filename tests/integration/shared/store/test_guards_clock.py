"""The server's clock is set back by an hour: leases of dead processes do not last an hour longer."""

import pytest

from producer.submission.abandoned_jobs import is_abandoned
from shared.store.keys import RECONCILER, RECONCILER_LEASE
from shared.store.leases import Lease, NotLeased, Requeued
from shared.store.redis_client import server_time_ms
from tests.integration.conftest import FreshJob
from worker.supervision.reconciler import Reconciler

LEASE_S = 60.0
HOUR_MS = 3_600_000


@pytest.fixture
def leased(fresh: FreshJob) -> FreshJob:
    """A job whose only batch is leased to `w/1`."""
    fresh.add()
    assert isinstance(fresh.take(lease_s=LEASE_S), Lease)
    return fresh


def _end_lease_in(fresh: FreshJob, later_ms: int) -> None:
    fresh.client.zincrby(fresh.key("leases"), later_ms, "0")


def _tell(fresh: FreshJob, length: str, value: str | None) -> None:
    if value is None:
        fresh.client.hdel(fresh.key(), length)
    else:
        fresh.client.hset(fresh.key(), length, value)


def _end_claim_in(fresh: FreshJob, key: str, later_ms: int) -> None:
    assert fresh.client.pexpire(key, fresh.client.pttl(key) + later_ms)


def test_a_batch_whose_lease_ends_later_than_any_is_taken(leased: FreshJob) -> None:
    """Its worker was lost before the clock change. A live worker corrects its lease when it renews it."""
    _end_lease_in(leased, HOUR_MS)
    assert isinstance(leased.take(holder="w/2", lease_s=LEASE_S), Lease)
    _end_lease_in(leased, HOUR_MS)
    assert leased.record.renew(0, "w/2", LEASE_S)
    assert leased.take(holder="w/3", lease_s=LEASE_S) is NotLeased.LEASED


def test_a_batch_whose_lease_ends_later_than_any_is_sent_again(leased: FreshJob) -> None:
    """Both the reconciler and the requeue script treat its lease as expired."""
    assert leased.record.find_unleased() == {}
    assert leased.record.resend(leased.uid, 0, "1") is None
    _end_lease_in(leased, HOUR_MS)
    assert leased.record.find_unleased() == {0: "1"}
    assert leased.record.resend(leased.uid, 0, "1") == Requeued(2, ["0.jpg"])


@pytest.mark.parametrize("length", [None, "long"])
def test_a_batch_is_sent_again_where_the_record_tells_no_lengths(leased: FreshJob, length: str | None) -> None:
    """Nobody has to repair it by hand."""
    _tell(leased, "lease_ms", length)
    assert leased.record.find_unleased() == {0: "1"}
    assert leased.record.resend(leased.uid, 0, "1") == Requeued(2, ["0.jpg"])


@pytest.mark.parametrize("length", [None, "long"])
def test_the_lease_asked_for_decides_where_the_record_tells_no_lengths(leased: FreshJob, length: str | None) -> None:
    """This holds for batches and aggregations."""
    _tell(leased, "lease_ms", length)
    assert leased.take(holder="w/2", lease_s=LEASE_S) is NotLeased.LEASED
    _end_lease_in(leased, HOUR_MS)
    assert isinstance(leased.take(holder="w/2", lease_s=LEASE_S), Lease)
    assert leased.record.claim_aggregation("w/1", LEASE_S)
    _tell(leased, "claim_ms", length)
    assert not leased.record.claim_aggregation("w/2", LEASE_S)
    _end_claim_in(leased, leased.key("aggregation"), HOUR_MS)
    assert leased.record.claim_aggregation("w/2", LEASE_S)


def test_the_longest_lease_of_the_job_decides(leased: FreshJob) -> None:
    """A worker with shorter leases neither takes a batch with a longer lease nor treats it as lost."""
    leased.add(1)
    assert isinstance(leased.take(1, 2, lease_s=0.001), Lease)
    assert leased.take(holder="w/2", lease_s=0.001) is NotLeased.LEASED
    assert 0 not in leased.record.find_unleased()
    _end_lease_in(leased, int(LEASE_S * 900))
    assert leased.take(holder="w/2", lease_s=LEASE_S) is NotLeased.LEASED
    assert 0 not in leased.record.find_unleased()
    assert leased.record.resend(leased.uid, 0, "1") is None


@pytest.mark.parametrize("by", ["attach", "heartbeat"])
def test_a_producer_whose_lease_ends_later_than_any_is_gone(fresh: FreshJob, by: str) -> None:
    """It was killed before the clock change. A live worker corrects its lease when it renews it."""
    producer = fresh.record.attach_producer(fresh.uid, LEASE_S if by == "attach" else 1)
    if by == "heartbeat":
        fresh.record.heartbeat(fresh.uid, producer, LEASE_S)
    now_ms = server_time_ms(fresh.client)
    assert fresh.load().producer_lease_ms == 1000 * LEASE_S
    assert not is_abandoned(fresh.load(), now_ms)
    assert not is_abandoned(fresh.load(), now_ms - int(900 * LEASE_S))
    assert is_abandoned(fresh.load(), now_ms - HOUR_MS)
    assert fresh.load().producer_silent_s(now_ms + int(1000 * LEASE_S) + 5000) > 4
    fresh.client.hdel(fresh.key(), "producer_lease_ms")
    assert not is_abandoned(fresh.load(), now_ms - HOUR_MS)


def test_a_producer_that_has_just_left_keeps_no_old_job(fresh: FreshJob) -> None:
    """Its lease ends in the very millisecond of the check."""
    fresh.client.hset(fresh.key(), mapping={"producer_until_ms": HOUR_MS, "producer_lease_ms": 0, "updated_ms": 1})
    assert fresh.load().is_stalled(HOUR_MS, 60)
    fresh.client.hset(fresh.key(), mapping={"producer_until_ms": HOUR_MS + 1, "producer_lease_ms": 1})
    assert not fresh.load().is_stalled(HOUR_MS, 60)


def test_a_claim_that_ends_later_than_any_is_free(fresh: FreshJob) -> None:
    """The aggregator was lost before the clock change. Its job would otherwise wait an hour for results."""
    fresh.complete()
    assert fresh.record.claim_aggregation("w/1", LEASE_S)
    _end_claim_in(fresh, fresh.key("aggregation"), int(LEASE_S * 1900))
    assert fresh.record.aggregation_claimed()
    assert not fresh.record.claim_aggregation("w/2", LEASE_S)
    assert not fresh.record.claim_aggregation("w/2", 0.1)
    _end_claim_in(fresh, fresh.key("aggregation"), HOUR_MS)
    assert not fresh.record.aggregation_claimed()
    assert fresh.record.claim_aggregation("w/2", LEASE_S)
    assert fresh.record.holds_aggregation("w/2") and fresh.record.aggregation_claimed()
    assert not fresh.record.claim_aggregation("w/3", LEASE_S)


def test_a_claim_without_an_end_is_no_dead_one(fresh: FreshJob) -> None:
    """Neither is a lease in a record without lease lengths."""
    fresh.complete()
    assert fresh.record.claim_aggregation("w/1", LEASE_S)
    fresh.client.persist(fresh.key("aggregation"))
    assert fresh.record.aggregation_claimed() and not fresh.record.claim_aggregation("w/2", LEASE_S)
    fresh.client.hdel(fresh.key(), "claim_ms")
    assert fresh.record.aggregation_claimed() and not fresh.record.claim_aggregation("w/2", LEASE_S)


def test_a_claim_makes_no_record(fresh: FreshJob) -> None:
    """The job may not exist any more."""
    fresh.record.delete()
    assert fresh.record.claim_aggregation("w/1", LEASE_S)
    assert not fresh.client.exists(fresh.key())


def test_an_election_that_ends_later_than_any_is_open(fresh: FreshJob) -> None:
    """The reconciler was lost before the clock change. Lost batches would otherwise wait an hour."""
    lock = f"{RECONCILER}:"
    settings = fresh.stage.settings.model_copy(update={"lease_s": LEASE_S})
    lost, next_one = (Reconciler(None, fresh.client, settings, name) for name in ("w", "v"))
    lost.step()
    _end_claim_in(fresh, lock, int(LEASE_S * 900))
    next_one.step()
    assert fresh.client.get(lock) == b"w"
    _end_claim_in(fresh, lock, HOUR_MS)
    next_one.step()
    assert fresh.client.get(lock) == b"v"


@pytest.mark.parametrize("length", ["its own", "none", "long"])
def test_a_leader_with_a_longer_lease_stays(fresh: FreshJob, length: str) -> None:
    """A worker whose lease is a hundredth of the leader's does not take over while that one lives. Without a length
    its own decides.
    """
    lock, its_lease = f"{RECONCILER}:", f"{RECONCILER_LEASE}:"
    leader, other = (
        Reconciler(None, fresh.client, fresh.stage.settings.model_copy(update={"lease_s": lease_s}), name)
        for name, lease_s in (("w", LEASE_S), ("v", LEASE_S / 100))
    )
    leader.step()
    assert 0 < fresh.client.pttl(its_lease) <= 1000 * LEASE_S
    if length == "none":
        fresh.client.delete(its_lease)
    elif length == "long":
        fresh.client.set(its_lease, length)
    other.step()
    assert fresh.client.get(lock) == (b"w" if length == "its own" else b"v")
