"""The server's clock is set back by an hour: leases of dead processes do not last an hour longer."""

import pytest

from shared.store.keys import RECONCILER
from shared.store.leases import Lease, NotLeased, Requeued
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


def test_a_batch_is_sent_again_where_the_record_tells_no_lengths(leased: FreshJob) -> None:
    """A record without lease lengths needs no manual repair."""
    leased.client.hdel(leased.key(), "lease_ms")
    assert leased.record.find_unleased() == {0: "1"}
    assert leased.record.resend(leased.uid, 0, "1") == Requeued(2, ["0.jpg"])


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
    _end_claim_in(fresh, lock, int(LEASE_S * 8900))
    next_one.step()
    assert fresh.client.get(lock) == b"w"
    _end_claim_in(fresh, lock, HOUR_MS)
    next_one.step()
    assert fresh.client.get(lock) == b"v"
