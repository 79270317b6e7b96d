"""Each refusal of the scripts and calls that aggregators make (`shared/store/lua`): what is refused changes nothing on
the server.
"""

import threading
import time
from dataclasses import replace

import pytest

from shared.store.jobs import JobRecord
from shared.store.news import News
from tests.integration.conftest import LONG_S, FreshJob

OTHER = "0" * 32
"""A uid that no job has."""


# note_published


def test_only_who_holds_the_claim_notes_results(fresh: FreshJob) -> None:
    """The record is of that job alone, and is removed when the job finishes or someone asks for it again."""
    fresh.complete()
    assert fresh.record.claim_aggregation("w/8", LONG_S)
    before = fresh.snapshot()
    assert not fresh.record.note_published(fresh.uid, "w/9")
    assert not fresh.record.note_published(OTHER, "w/8")
    assert fresh.snapshot() == before
    assert fresh.record.note_published(fresh.uid, "w/8")
    assert fresh.load().published_ms is not None and fresh.load().state == "sealed"
    fresh.record.go_on(fresh.uid)
    assert fresh.load().published_ms is None
    assert fresh.record.note_published(fresh.uid, "w/8")
    assert fresh.record.finish(fresh.load(), "w/8", LONG_S, {}) == "finished"
    assert fresh.load().published_ms is None


def test_who_waits_for_results_is_woken(fresh: FreshJob) -> None:
    """Publication, the end of the job and a problem wake it. Without news, the wait times out."""
    fresh.complete()
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    steps = [
        lambda: fresh.record.note_published(fresh.uid, "w/9"),
        lambda: fresh.record.note_problem(fresh.uid, "a problem"),
        lambda: fresh.record.finish(fresh.load(), "w/9", LONG_S, {}),
    ]
    with News(fresh.record._client, fresh.record.name) as news:
        for step in steps:
            waiting = threading.Timer(0.1, step)
            started = time.monotonic()
            waiting.start()
            news.wait(20)
            assert time.monotonic() - started < 10
            waiting.join()
        started = time.monotonic()
        news.wait(0.2)
        assert 0.1 < time.monotonic() - started < 10


# finish


def _finish_refused(fresh: FreshJob, holder: str = "w/9", uid: str = "") -> str:
    before = fresh.snapshot()
    answer = fresh.record.finish(replace(fresh.load(), uid=uid or fresh.uid), holder, LONG_S, {0: "0.jpg"})
    assert fresh.snapshot() == before
    return answer


def test_another_job_of_the_name_is_not_finished(fresh: FreshJob) -> None:
    """The other job is sealed and this holder has its lease, but the uid differs."""
    fresh.complete()
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    assert _finish_refused(fresh, uid=OTHER) == "unknown"


def test_only_a_sealed_job_is_finished(fresh: FreshJob) -> None:
    """An enqueuing, cancelled or already finished job is refused."""
    fresh.add()
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    assert _finish_refused(fresh) == "enqueuing"
    fresh.half_cancelled()
    assert _finish_refused(fresh) == "cancelled"


def test_a_finished_job_keeps_what_the_first_aggregator_noted(fresh: FreshJob) -> None:
    """A late aggregator with a lease of its own does not remove the recorded images."""
    fresh.complete()
    assert fresh.finish({1: "1.jpg"}) == "finished"
    assert fresh.record.claim_aggregation("w/8", LONG_S)
    assert _finish_refused(fresh, "w/8") == "finished"
    assert fresh.record.failed_images() == {1: "1.jpg"}


def test_only_who_holds_the_claim_finishes(fresh: FreshJob) -> None:
    """An aggregator that lost its lease is refused, and so is any after the lease expired."""
    fresh.complete()
    assert fresh.record.claim_aggregation("w/8", LONG_S)
    assert _finish_refused(fresh) == "stale"
    fresh.record.release_aggregation(fresh.uid, "w/8")
    assert _finish_refused(fresh) == "stale"
    assert fresh.load().state == "sealed"


def test_finishing_keeps_the_record_and_the_failed_images_alone(fresh: FreshJob) -> None:
    """Blocks are removed, as are images of a batch that was never recorded. The rest expires."""
    for batch in range(2):
        fresh.take(batch, fresh.add(batch))
        fresh.commit(batch)
    fresh.record.put_image(fresh.uid, fresh.producer, 2, "2.jpg", b"bytes")
    assert fresh.seal()
    assert fresh.finish({1: "1.jpg"}) == "finished"
    left = {key.decode() for key in fresh.client.scan_iter(f"{fresh.key()}*")}
    assert left == {fresh.key(), fresh.key("failed")}
    assert all(0 < fresh.client.ttl(key) <= LONG_S for key in left)


def test_finishing_without_failed_images_forgets_those_of_before(fresh: FreshJob) -> None:
    """After a retry that succeeded for all images, none are left to retry."""
    fresh.complete()
    assert fresh.finish({0: "0.jpg"}) == "finished"
    assert fresh.record.reopen(fresh.load()) == 1
    fresh.uid = fresh.load().uid
    fresh.producer = fresh.record.attach_producer(fresh.uid)
    send = fresh.add()
    fresh.take(0, send)
    fresh.commit()
    fresh.seal()
    assert fresh.finish() == "finished"
    assert fresh.record.failed_images() == {}
    assert {key.decode() for key in fresh.client.scan_iter(f"{fresh.key()}*")} == {fresh.key()}


# The claim: one aggregator at a time


def test_one_aggregator_claims_a_job(fresh: FreshJob) -> None:
    """The lease expires after twice the lease time, unless it is renewed."""
    assert not fresh.record.aggregation_claimed()
    assert fresh.record.claim_aggregation("w/8", 100) is True
    assert fresh.record.aggregation_claimed() is True
    assert fresh.record.claim_aggregation("w/9", 100) is False
    assert fresh.record.claim_aggregation("w/8", 100) is False
    assert 190_000 < fresh.client.pttl(fresh.key("aggregation")) <= 200_000
    assert (fresh.record.holds_aggregation("w/8"), fresh.record.holds_aggregation("w/9")) == (True, False)


def test_only_the_holder_renews_its_claim(fresh: FreshJob) -> None:
    """An expired lease cannot be renewed."""
    assert fresh.record.claim_aggregation("w/8", 100)
    assert fresh.record.renew_aggregation("w/9", LONG_S) is False
    assert fresh.client.pttl(fresh.key("aggregation")) <= 200_000
    assert fresh.record.renew_aggregation("w/8", 200) is True
    assert 390_000 < fresh.client.pttl(fresh.key("aggregation")) <= 400_000
    fresh.client.delete(fresh.key("aggregation"))
    assert fresh.record.renew_aggregation("w/8", 200) is False
    assert not fresh.record.aggregation_claimed()


def test_only_the_holder_releases_its_claim(fresh: FreshJob) -> None:
    """The reason, if there is one, is recorded."""
    assert fresh.record.claim_aggregation("w/8", LONG_S)
    before = fresh.snapshot()
    fresh.record.release_aggregation(fresh.uid, "w/9", "disk full")
    assert fresh.snapshot() == before
    fresh.record.release_aggregation(fresh.uid, "w/8")
    assert (fresh.load().problem, fresh.record.aggregation_claimed()) == (None, False)
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    fresh.record.release_aggregation(fresh.uid, "w/9", "disk full")
    assert (fresh.load().problem, fresh.record.aggregation_claimed()) == ("disk full", False)


# spooled


def _count_spilled(fresh: FreshJob, *, uid: str = "", before: int = 0, now: int = 50) -> bool:
    return fresh.record.count_spilled(uid or fresh.uid, before, now, "here", [0])


def _spill_refused(fresh: FreshJob, *, uid: str = "", before: int = 0) -> None:
    snapshot = fresh.snapshot()
    assert not _count_spilled(fresh, uid=uid, before=before)
    assert fresh.snapshot() == snapshot


def _done(fresh: FreshJob, batch: int = 0) -> None:
    fresh.take(batch, fresh.add(batch))
    assert fresh.commit(batch) == "stored"


def test_blocks_of_another_or_an_ended_job_stay(fresh: FreshJob) -> None:
    """A job with another uid and a cancelled job keep blocks that are not in the spill file."""
    _done(fresh)
    _spill_refused(fresh, uid=OTHER)
    fresh.half_cancelled()
    _spill_refused(fresh)


def test_blocks_stay_where_the_spill_file_is_not_as_long_as_was_thought(fresh: FreshJob) -> None:
    """If two processes write at once, or the server was rolled back, only one of them succeeds."""
    _done(fresh)
    _spill_refused(fresh, before=10)
    assert _count_spilled(fresh)
    _done(fresh, 1)
    _spill_refused(fresh)
    job = fresh.load()
    assert (job.spool_bytes, job.spool_host, job.block_bytes) == (50, "here", len(b"block"))


def test_blocks_stay_while_somebody_aggregates(fresh: FreshJob) -> None:
    """The aggregator relies on the blocks that were on the server when it started."""
    _done(fresh)
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    _spill_refused(fresh)
    fresh.record.release_aggregation(fresh.uid, "w/9")
    assert _count_spilled(fresh)
    assert (fresh.record.stored(9), fresh.record.blocks([0])) == ([], [None])


@pytest.mark.parametrize("length", ["10000", "none", "long"])
def test_blocks_are_moved_where_a_claim_ends_later_than_any(fresh: FreshJob, length: str) -> None:
    """The server's clock was set back. A record without lengths or a lease without end does not show that."""
    fresh.complete()
    assert fresh.record.claim_aggregation("w/9", 5)
    if length == "none":
        fresh.client.hdel(fresh.key(), "claim_ms")
    else:
        fresh.client.hset(fresh.key(), "claim_ms", length)
    fresh.client.pexpire(fresh.key("aggregation"), 19_000 if length == "10000" else 3_600_000)
    if length != "long":
        assert not fresh.record.count_spilled(fresh.uid, 0, 5, "h", [0])
    fresh.client.persist(fresh.key("aggregation"))
    assert not fresh.record.count_spilled(fresh.uid, 0, 5, "h", [0])
    fresh.client.pexpire(fresh.key("aggregation"), 3_600_000)
    assert fresh.record.count_spilled(fresh.uid, 0, 5, "h", [0]) == (length != "none")


def test_blocks_are_spilled_before_and_after_the_seal(fresh: FreshJob) -> None:
    """The first portion and later ones are counted."""
    _done(fresh)
    assert _count_spilled(fresh)
    _done(fresh, 1)
    fresh.seal()
    assert fresh.record.count_spilled(fresh.uid, 50, 100, "here", [1])
    assert (fresh.load().spool_bytes, fresh.load().block_bytes) == (100, 0)


def test_failed_images_are_noted_in_order(fresh: FreshJob) -> None:
    """Thousands of images are returned in numeric order, not in alphabetical order."""
    fresh.complete()
    failed = {index: f"{index}.jpg" for index in range(2001)}
    assert fresh.finish(failed) == "finished"
    assert list(JobRecord(fresh.client, "j").failed_images().items()) == list(failed.items())


# begin_delete


def test_a_job_that_only_has_the_name_is_not_removed(fresh: FreshJob) -> None:
    """The job was created and finished after the other one was read."""
    fresh.complete()
    assert fresh.finish() == "finished"
    read = fresh.load()
    fresh.client.hset(fresh.key(), "uid", "0" * 32)
    before = fresh.snapshot()
    assert not fresh.record.delete(read)
    assert fresh.snapshot() == before


# disclaim, change


def test_trouble_with_an_earlier_job_of_the_name_is_not_this_ones(fresh: FreshJob) -> None:
    """The lease ends, but the reason is not recorded for the new job."""
    fresh.complete()
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    fresh.record.release_aggregation("0" * 32, "w/9", "no room")
    assert fresh.load().problem is None and not fresh.record.aggregation_claimed()
