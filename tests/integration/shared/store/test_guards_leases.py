"""Tests that mutants of the leasing code showed to be missing: answers, expiry, and isolation between jobs."""

import pytest
import redis

from shared.store.jobs import JobRecord
from tests.integration.conftest import LONG_S, FreshJob
from tests.support.reconciling import MOMENT_S, make_reconciler, messages_in
from tests.support.stage import wait_until

pytestmark = pytest.mark.usefixtures("guarded_transport")


def test_who_is_not_elected_waits_its_time(fresh: FreshJob) -> None:
    """Workers without the lock do not ask for it several times a second."""
    make_reconciler(fresh.stage, LONG_S, "w").step()
    assert make_reconciler(fresh.stage, LONG_S, "v").step() is False


def test_a_batch_that_is_not_lost_any_more_costs_no_other(fresh: FreshJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was leased between the check and the requeue. The lost batches after it are still requeued."""
    fresh.add(0)
    fresh.add(1)
    resend = JobRecord.resend
    monkeypatch.setattr(JobRecord, "resend", lambda *them: None if them[2] == 0 else resend(*them))
    reconciler = make_reconciler(fresh.stage, MOMENT_S, "w")
    wait_until(lambda: reconciler.step() or fresh.client.llen("embed"), 20, "the other is sent")
    assert [message["batch"] for message in messages_in(fresh.stage)] == [1]


def test_no_more_blocks_are_named_than_were_asked_for(fresh: FreshJob) -> None:
    """The reconciler moves them to the spill file in portions of bounded size."""
    for batch in range(4):
        fresh.take(batch, fresh.add(batch))
        fresh.commit(batch)
    assert (fresh.record.stored(1), fresh.record.stored(3), fresh.record.stored(9)) == ([0], [0, 1, 2], [0, 1, 2, 3])


def test_failed_images_of_a_finishing_that_was_cut_short_do_not_stay(
    fresh: FreshJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The aggregator died after recording them. They expire, and the job is as it was."""

    def dies(*_: object) -> str:
        raise redis.ConnectionError("gone")

    fresh.complete()
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    job, before = fresh.load(), set(fresh.snapshot())
    monkeypatch.setattr(fresh.record, "_run", dies)
    with pytest.raises(redis.ConnectionError):
        fresh.record.finish(job, "w/9", LONG_S, {0: "0.jpg"})
    (left,) = set(fresh.snapshot()) - before
    assert 0 < fresh.client.ttl(left) <= 3600
    assert fresh.load().state == "sealed"
