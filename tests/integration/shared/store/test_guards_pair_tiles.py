"""Each refusal of the scripts for tiles of the pair matrix: what is refused changes nothing on the server."""

import time

import pytest

from shared.domain.outcomes import Outcome, Verdict
from shared.domain.priority import Priority
from shared.store.leases import Lease, Requeued
from tests.integration.conftest import LONG_S, FreshJob
from tests.support.jobs import add_tiles

OTHER = "0" * 32
"""A uid that no job has, and the name of a stage that no job has."""
STAGE = "a" * 32


def _with_tiles(fresh: FreshJob, tiles: int = 3) -> int:
    """A job of two batches whose tiles were added; returns the send number of the first."""
    fresh.complete(2)
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    return add_tiles(fresh.record, fresh.uid, "w/9", STAGE, tiles)


# add_tiles


def test_tiles_follow_the_batches(fresh: FreshJob) -> None:
    """They are numbered after them, wait in this order, and get later send numbers: none is taken for a batch."""
    fresh.complete(2)
    fresh.record.note_refusal(fresh.uid, "w", "w lacks it")
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    fresh.client.hset(fresh.key(), "updated_ms", 1)
    assert fresh.record.add_tiles(fresh.uid, "w/9", STAGE, 3) is None
    assert fresh.client.zrange(fresh.key("open"), 0, -1) == [b"2", b"3", b"4"] and not fresh.record.find_unleased()
    sent = [fresh.record.dispatch("aggregate", Priority.NORMAL) for _ in range(4)]
    assert [(one.batch, one.sent, one.stage) for one in sent if one] == [
        (2 + k, Requeued(3 + k), STAGE) for k in range(3)
    ]
    job = fresh.load()
    assert (job.tiles, job.tiles_done, job.stage, job.comparing, job.refusal) == (3, 0, STAGE, True, None)
    assert abs(job.updated_ms - time.time() * 1000) < 60_000
    assert fresh.record.find_unleased() == {2: "3", 3: "4", 4: "5"}


def test_only_who_holds_the_claim_of_a_sealed_job_adds_tiles(fresh: FreshJob) -> None:
    """An aggregator that was replaced, or of another job, adds none."""
    fresh.add()
    assert fresh.record.add_tiles(fresh.uid, "w/9", STAGE, 3) == "enqueuing"
    fresh.take()
    fresh.commit()
    fresh.seal()
    before = fresh.snapshot()
    assert fresh.record.add_tiles(fresh.uid, "w/9", STAGE, 3) == "stale"
    assert fresh.snapshot() == before
    assert fresh.record.claim_aggregation("w/8", LONG_S)
    before = fresh.snapshot()
    assert fresh.record.add_tiles(fresh.uid, "w/9", STAGE, 3) == "stale"
    assert fresh.record.add_tiles(OTHER, "w/8", STAGE, 3) == "unknown"
    assert fresh.snapshot() == before
    assert fresh.record.add_tiles(fresh.uid, "w/8", STAGE, 3) is None
    before = fresh.snapshot()
    assert fresh.record.add_tiles(fresh.uid, "w/8", STAGE, 3) == "open"
    assert fresh.snapshot() == before


def test_a_stage_is_begun_again(fresh: FreshJob) -> None:
    """All tiles are open again, with later send numbers: messages of before are void."""
    first = _with_tiles(fresh, 1)
    assert fresh.take(2, first) == Lease(attempt=1, losses=0)
    assert fresh.record.commit_tile(fresh.uid, 2, STAGE) == "last"
    assert add_tiles(fresh.record, fresh.uid, "w/9", OTHER, 2) == first + 1
    assert (fresh.load().tiles, fresh.load().tiles_done, fresh.load().stage) == (2, 0, OTHER)
    assert fresh.take(2, first) == "sent again"
    assert fresh.record.commit_tile(fresh.uid, 2, STAGE) == "unknown"
    assert isinstance(fresh.take(2, first + 1), Lease)


# take, lose, resend


def test_a_tile_is_leased_and_requeued_like_a_batch(fresh: FreshJob) -> None:
    """Its crashes are counted; it has no images."""
    first = _with_tiles(fresh)
    assert fresh.record.take(fresh.uid, 2, first, "w/1", LONG_S, images=0) == Lease(attempt=1, losses=0)
    assert fresh.take(2, first, holder="w/2") == "leased"
    again = fresh.record.lose(fresh.uid, 2, "w/1", Verdict(Outcome.CRASHED, "it died"))
    assert again is not None and (again.send, again.images, again.stretch) == (first + 3, [], None)
    assert fresh.record.take(fresh.uid, 2, again.send, "w/1", LONG_S, images=0) == Lease(attempt=2, losses=1)
    fresh.run_out(2)
    resent = fresh.record.resend(fresh.uid, 2, str(again.send))
    assert resent is not None and (resent.send, resent.images) == (first + 4, [])
    assert fresh.load().images_retaken == 0


def test_crashes_of_tiles_are_forgotten_when_the_job_goes_on(fresh: FreshJob) -> None:
    """Those of images are not: an image that crashes processes stays under suspicion."""
    fresh.add()
    fresh.take()
    sent = fresh.record.lose(fresh.uid, 0, "w/1", Verdict(Outcome.CRASHED, "it died"))
    fresh.record.go_on(fresh.uid)
    assert sent is not None and fresh.take(0, sent.send) == Lease(attempt=2, losses=1)
    assert fresh.commit() == "stored" and fresh.seal()
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    first = add_tiles(fresh.record, fresh.uid, "w/9", STAGE, 2)
    fresh.take(1, first)
    sent = fresh.record.lose(fresh.uid, 1, "w/1", Verdict(Outcome.CRASHED, "it died"))
    fresh.record.go_on(OTHER)
    assert sent is not None and fresh.take(1, sent.send) == Lease(attempt=2, losses=1)
    fresh.record.give_back(1, "w/1")
    fresh.record.go_on(fresh.uid)
    assert fresh.take(1, sent.send) == Lease(attempt=3, losses=0)


# commit_tile


def test_a_tile_is_committed_once(fresh: FreshJob) -> None:
    """The last of all is told, also to who asks again because the answer was lost."""
    first = _with_tiles(fresh, 2)
    for tile in range(2):
        assert isinstance(fresh.take(2 + tile, first + tile), Lease)
    fresh.record.lose(fresh.uid, 2, "w/1", Verdict(Outcome.CRASHED, "it died"))
    fresh.take(2, first + 2)
    fresh.record.note_refusal(fresh.uid, "w", "w lacks it")
    fresh.client.hset(fresh.key(), "updated_ms", 1)
    assert fresh.record.commit_tile(fresh.uid, 2, STAGE) == "stored"
    job = fresh.load()
    assert (job.tiles_done, job.comparing, job.refusal) == (1, True, None) and not fresh.record.refusals()
    assert abs(job.updated_ms - time.time() * 1000) < 60_000
    for part in ("leases", "open"):
        assert fresh.client.zscore(fresh.key(part), "2") is None
    for part in ("holders", "attempts", "losses"):
        assert fresh.client.hget(fresh.key(part), "2") is None
    before = fresh.snapshot()
    assert fresh.record.commit_tile(fresh.uid, 2, STAGE) == "done"
    assert fresh.snapshot() == before
    assert fresh.record.commit_tile(fresh.uid, 3, STAGE) == "last"
    assert not fresh.load().comparing
    before = fresh.snapshot()
    assert fresh.record.commit_tile(fresh.uid, 3, STAGE) == "last"
    assert fresh.snapshot() == before


@pytest.mark.parametrize("state", ["cancelled", "finished", "other job", "other stage"])
def test_a_tile_that_is_not_wanted_is_not_committed(fresh: FreshJob, state: str) -> None:
    """Its job has ended, or the stage was begun again."""
    first = _with_tiles(fresh)
    fresh.take(2, first)
    uid, stage, answer = fresh.uid, STAGE, state
    if state == "cancelled":
        fresh.half_cancelled()
    elif state == "finished":
        assert fresh.record.finish(fresh.load(), "w/9", LONG_S, {}) == "finished"
    elif state == "other job":
        uid, answer = OTHER, "unknown"
    else:
        stage, answer = OTHER, "unknown"
    before = fresh.snapshot()
    assert fresh.record.commit_tile(uid, 2, stage) == answer
    assert fresh.snapshot() == before


def test_a_finished_job_has_no_tiles(fresh: FreshJob) -> None:
    """Neither its record nor its parts."""
    first = _with_tiles(fresh, 1)
    fresh.take(2, first)
    assert fresh.record.commit_tile(fresh.uid, 2, STAGE) == "last"
    assert fresh.record.finish(fresh.load(), "w/9", LONG_S, {}) == "finished"
    assert (fresh.load().tiles, fresh.load().tiles_done, fresh.load().stage) == (0, 0, "")


# note_refusal


def test_only_a_sealed_job_of_the_uid_has_a_refusal(fresh: FreshJob) -> None:
    """A job that has ended meanwhile keeps none."""
    fresh.add()
    before = fresh.snapshot()
    assert not fresh.record.note_refusal(fresh.uid, "w", "w lacks it")
    fresh.take()
    fresh.commit()
    fresh.seal()
    assert fresh.snapshot() != before
    before = fresh.snapshot()
    assert not fresh.record.note_refusal(OTHER, "w", "w lacks it")
    assert fresh.snapshot() == before
    assert fresh.record.note_refusal(fresh.uid, "w", "w lacks it")
    assert fresh.load().refusal == "w lacks it" and fresh.record.refusals() == {"w": "w lacks it"}
