"""Each refusal of the scripts that a producer calls (`shared/store/lua`): what is refused changes nothing on the
server.
"""

import pytest

from producer.console.progress import speed_since
from shared.domain.errors import InvalidRequest, NotFinished
from shared.domain.options import Options
from shared.store.enqueuing import LivingProducer
from shared.store.keys import PARTS, REGISTRY, SWEPT, UNFINISHED
from shared.store.redis_client import server_time_ms
from tests.integration.conftest import FreshJob
from tests.support.jobs import CONTRACT, make_job
from tests.support.stage import Stage

OTHER = "0" * 32
"""A uid or a token that nobody has."""


def _refused(fresh: FreshJob, batch: int = 0, *, uid: str = "", producer: str = "", path: str = "0.jpg") -> str:
    before = fresh.snapshot()
    with pytest.raises(NotFinished) as refusal:
        fresh.record.add_batch(uid or fresh.uid, producer or fresh.producer, batch, [path])
    assert fresh.snapshot() == before
    return str(refusal.value)


# create


def _create(fresh: FreshJob, instead_of: str = "") -> tuple[str, bool]:
    options = Options(folder=".", batch_size=2, distances="auto")
    job, new = fresh.record.create(
        origin="p", source="s", contract=CONTRACT, options=options, queue_prefix="", instead_of=instead_of
    )
    return job.uid, new


def test_a_job_that_is_there_is_not_created_again(fresh: FreshJob) -> None:
    """The caller gets the existing job, and its batches stay."""
    fresh.add()
    before = fresh.snapshot()
    assert _create(fresh) == (fresh.uid, False)
    assert fresh.snapshot() == before


def test_a_cancelled_job_gives_its_name_to_a_new_one(fresh: FreshJob) -> None:
    """Nothing of the old job remains in the new one."""
    fresh.add()
    fresh.half_cancelled()
    uid, new = _create(fresh)
    assert (uid != fresh.uid, new) == (True, True)
    assert (fresh.load().state, fresh.load().batches, fresh.record.open_batches()) == ("enqueuing", 0, 0)


def test_a_job_takes_the_place_of_the_finished_one_that_it_names(fresh: FreshJob) -> None:
    """In one step: nothing of the old record remains, and the new one does not expire."""
    fresh.complete()
    assert fresh.finish({0: "0.jpg"}) == "finished"
    assert fresh.client.ttl(fresh.key()) > 0
    uid, new = _create(fresh, fresh.uid)
    job = fresh.load()
    assert (uid != fresh.uid, new) == (True, True)
    assert (job.state, job.images, job.faces, job.ended_ms, job.failed_listed) == ("enqueuing", 0, 0, None, 0)
    assert fresh.client.ttl(fresh.key()) == -1
    assert fresh.client.exists(fresh.key("failed")) == 0
    assert fresh.client.zrange(UNFINISHED, 0, -1) == [b":j"]


def test_an_unfinished_or_another_job_is_not_replaced(fresh: FreshJob) -> None:
    """It went on, or was made, after it was looked at."""
    fresh.add()
    before = fresh.snapshot()
    assert _create(fresh, fresh.uid) == (fresh.uid, False)
    assert fresh.snapshot() == before
    assert fresh.take() and fresh.commit() == "stored" and fresh.seal()
    assert fresh.finish() == "finished"
    before = fresh.snapshot()
    assert _create(fresh, OTHER) == (fresh.uid, False)
    assert fresh.snapshot() == before


@pytest.mark.parametrize("part", ["stored", "inline"])
def test_blocks_of_the_finished_job_do_not_become_those_of_the_new_one(fresh: FreshJob, part: str) -> None:
    """Its aggregator died before it had removed them all."""
    fresh.complete()
    assert fresh.finish() == "finished"
    if part == "stored":
        fresh.client.zadd(fresh.key("stored"), {"0": 0})
        fresh.client.set(fresh.key("block:0"), b"old")
    else:
        fresh.client.hset(fresh.key("inline"), "0", "3")
        fresh.client.hset(fresh.key("bytes:0"), "a", b"old")
    uid, new = _create(fresh, fresh.uid)
    assert (uid != fresh.uid, new) == (True, True)
    assert fresh.client.exists(fresh.key("block:0"), fresh.key("bytes:0"), fresh.key(part)) == 0


def test_what_an_expired_record_left_does_not_hold_up_a_new_job(fresh: FreshJob) -> None:
    """Only the blocks of a finished job that is replaced are removed first, in pieces."""
    fresh.client.delete(fresh.key())
    fresh.client.zadd(fresh.key("stored"), {"0": 0})
    parts = ["", f"={REGISTRY}", f"={UNFINISHED}", *SWEPT, *PARTS]
    assert fresh.record._run("create", parts, "j", OTHER, ":j", "", "state", "enqueuing") == OTHER
    assert fresh.client.exists(fresh.key("stored")) == 0


# add_kept


def _add_kept(fresh: FreshJob, batch: int = 0, *, uid: str = "", producer: str = "", path: str = "k.jpg") -> None:
    outcomes = {"ok": 2, "no_face": 1}
    fresh.record.add_kept(uid or fresh.uid, producer or fresh.producer, batch, b"kept", path, outcomes, 2)


def test_known_images_are_a_batch_that_is_done(fresh: FreshJob) -> None:
    """They count as images and as done ones, and their block is stored. Nothing is sent, and the rate is of others."""
    nothing = fresh.load()
    _add_kept(fresh)
    job = fresh.load()
    assert (job.images_known, speed_since(nothing, job, 1.0).images_per_s) == (3, 0)
    assert (job.batches, job.images, job.images_done, job.faces, job.cursor) == (1, 3, 3, 2, "k.jpg")
    assert (job.outcomes, job.block_bytes, fresh.record.open_batches()) == ({"ok": 2, "no_face": 1}, 4, 0)
    assert (fresh.record.stored(9), fresh.record.blocks([0])) == ([0], [b"kept"])
    assert job.committed_ms is not None and job.updated_ms == job.committed_ms
    assert fresh.add(1) == 1
    assert fresh.load().images == 4


def test_known_images_that_are_added_again_are_counted_once(fresh: FreshJob) -> None:
    """The first answer was lost; the block may be in the spill file by now."""
    _add_kept(fresh)
    before = fresh.snapshot()
    _add_kept(fresh)
    assert fresh.snapshot() == before
    fresh.client.delete(fresh.key("block:0"), fresh.key("stored"))
    before = fresh.snapshot()
    _add_kept(fresh)
    assert fresh.snapshot() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"uid": OTHER}, "unknown"),
        ({"producer": OTHER}, "taken over"),
        ({"batch": 0, "path": "other.jpg"}, "taken over"),
        ({"batch": 2}, "taken over"),
    ],
)
def test_known_images_are_refused_as_other_batches_are(fresh: FreshJob, arguments: dict[str, str], said: str) -> None:
    """Of another job, by a replaced producer, or in another order."""
    _add_kept(fresh)
    before = fresh.snapshot()
    with pytest.raises(NotFinished, match=said):
        _add_kept(fresh, **({"batch": 1} | arguments))
    assert fresh.snapshot() == before


def test_a_sealed_job_takes_no_known_images(fresh: FreshJob) -> None:
    """Nor does a cancelled one."""
    fresh.seal()
    with pytest.raises(NotFinished, match="sealed"):
        _add_kept(fresh)
    fresh.half_cancelled()
    with pytest.raises(NotFinished, match="cancelled"):
        _add_kept(fresh)


# add_batch


def test_no_batch_is_added_to_another_job_of_the_name(fresh: FreshJob) -> None:
    """A late producer is refused even with its own token."""
    assert "unknown" in _refused(fresh, uid=OTHER)


def test_no_batch_is_added_to_a_sealed_or_cancelled_job(fresh: FreshJob) -> None:
    """The error names the state."""
    fresh.seal()
    assert "sealed" in _refused(fresh)
    fresh.half_cancelled()
    assert "was cancelled" in _refused(fresh)


def test_only_the_last_producer_adds_batches(fresh: FreshJob) -> None:
    """The producer that attached last has taken over."""
    assert "taken over" in _refused(fresh, producer=OTHER)
    first = fresh.producer
    fresh.producer = fresh.record.attach_producer(fresh.uid)
    assert "taken over" in _refused(fresh, producer=first)
    assert fresh.add() == 1


def test_batches_are_added_in_order(fresh: FreshJob) -> None:
    """A number that skips a batch, or an old number, comes from another producer."""
    _refused(fresh, 1)
    fresh.add(0)
    fresh.add(1)
    _refused(fresh, 3, path="3.jpg")
    _refused(fresh, 0)


def test_a_batch_whose_answer_was_lost_is_added_once(fresh: FreshJob) -> None:
    """The same batch gets the same send number. Other images under that number are refused."""
    fresh.add(0)
    send, before = fresh.add(1), fresh.snapshot()
    assert (fresh.add(1), send) == (2, 2)
    assert fresh.snapshot() == before
    _refused(fresh, 1, path="other.jpg")
    assert (fresh.load().batches, fresh.load().images) == (2, 2)


# inline_put


def test_images_are_put_by_the_producer_of_an_open_job_alone(fresh: FreshJob) -> None:
    """Images for another uid, from a replaced producer, or after the seal are refused."""
    fresh.record.put_image(fresh.uid, fresh.producer, 0, "0.jpg", b"bytes")
    assert fresh.record.inline_bytes() == 5
    _put_refused(fresh, "unknown", uid=OTHER)
    _put_refused(fresh, "taken over", producer=OTHER)
    fresh.seal()
    _put_refused(fresh, "sealed")
    fresh.half_cancelled()
    _put_refused(fresh, "was cancelled")


def _put_refused(fresh: FreshJob, why: str, *, uid: str = "", producer: str = "") -> None:
    before = fresh.snapshot()
    with pytest.raises(NotFinished, match=why):
        fresh.record.put_image(uid or fresh.uid, producer or fresh.producer, 0, "1.jpg", b"bytes")
    assert fresh.snapshot() == before


# seal


def _seal_refused(fresh: FreshJob, *, uid: str = "", producer: str = "") -> str:
    before = fresh.snapshot()
    with pytest.raises(NotFinished) as refusal:
        fresh.record.seal(uid or fresh.uid, producer or fresh.producer)
    assert fresh.snapshot() == before
    return str(refusal.value)


def test_another_job_of_the_name_is_not_sealed(fresh: FreshJob) -> None:
    """The right token does not help if the uid differs."""
    assert "unknown" in _seal_refused(fresh, uid=OTHER)


def test_only_the_last_producer_seals(fresh: FreshJob) -> None:
    """The other producer may have more batches. After the end, each learns the state."""
    assert "taken over" in _seal_refused(fresh, producer=OTHER)
    fresh.complete()
    assert fresh.finish() == "finished"
    assert "finished" in _seal_refused(fresh, producer=OTHER)


def test_a_cancelled_job_is_not_sealed(fresh: FreshJob) -> None:
    """Sealing must not revive a cancelled job."""
    fresh.half_cancelled()
    assert "was cancelled" in _seal_refused(fresh)
    assert "was cancelled" in _seal_refused(fresh, producer=OTHER)


def test_sealing_tells_whether_all_is_done(fresh: FreshJob) -> None:
    """A job without open batches is complete. A repeated call after the end returns `sealed`."""
    fresh.add()
    assert fresh.seal() is False
    fresh.take()
    assert fresh.commit() == "last"
    assert fresh.finish() == "finished"
    before = fresh.snapshot()
    assert fresh.seal() is False
    assert fresh.snapshot() == before


# note_problem


def test_nothing_is_noted_in_another_job_of_the_name(fresh: FreshJob) -> None:
    """Neither a problem nor a producer is recorded."""
    before = fresh.snapshot()
    fresh.record.note_problem(OTHER, "disk full")
    fresh.record.attach_producer(OTHER)
    assert fresh.snapshot() == before


def test_a_problem_of_before_is_not_noted(fresh: FreshJob) -> None:
    """Someone has asked for the job again since the caller read it, which resets its count."""
    fresh.complete()
    assert fresh.record.count_lost_aggregation(fresh.uid)
    before = fresh.snapshot()
    assert fresh.record.note_problem(fresh.uid, "it dies each time", lost=5) is False
    assert fresh.snapshot() == before
    assert fresh.record.note_problem(fresh.uid, "it dies each time", lost=1) is True
    assert fresh.load().problem == "it dies each time"


def test_a_problem_that_is_noted_already_stays(fresh: FreshJob) -> None:
    """The existing problem is newer than what the caller read."""
    assert fresh.record.note_problem(fresh.uid, "disk full") is True
    before = fresh.snapshot()
    assert fresh.record.note_problem(fresh.uid, "it dies each time") is False
    assert fresh.snapshot() == before


@pytest.mark.parametrize(("state", "noted"), [("sealed", True), ("finished", False), ("cancelled", False)])
def test_a_job_that_has_ended_gets_no_problem(fresh: FreshJob, state: str, noted: bool) -> None:
    """The results were written meanwhile."""
    fresh.client.hset(fresh.key(), "state", state)
    assert fresh.record.note_problem(fresh.uid, "it dies each time") is noted
    assert fresh.client.hexists(fresh.key(), "problem") is noted


def test_an_empty_value_removes_the_field(fresh: FreshJob) -> None:
    """Otherwise a resumed job would have an empty problem."""
    fresh.record.note_problem(fresh.uid, "disk full")
    assert fresh.load().problem == "disk full"
    fresh.record.go_on(fresh.uid)
    assert fresh.load().problem is None


# reopen


def test_only_a_finished_job_with_failed_images_is_opened_again(fresh: FreshJob) -> None:
    """The answer names any other state. Without failed images nothing is started."""
    fresh.complete()
    before = fresh.snapshot()
    with pytest.raises(InvalidRequest, match="sealed"):
        fresh.record.reopen(fresh.load())
    assert fresh.snapshot() == before
    fresh.finish()
    before = fresh.snapshot()
    assert fresh.record.reopen(fresh.load()) == 0
    assert fresh.snapshot() == before


def test_another_job_of_the_name_is_not_opened_again(fresh: FreshJob) -> None:
    """Even if the other job is finished and has failed images."""
    fresh.complete()
    fresh.finish({0: "0.jpg"})
    before = fresh.snapshot()
    with pytest.raises(InvalidRequest):
        fresh.record.reopen(fresh.job.__class__(**{**vars(fresh.load()), "uid": OTHER}))
    assert fresh.snapshot() == before
    assert fresh.record.reopen(fresh.load()) == 1


# delete


def test_deleting_leaves_nothing_or_the_word_for_a_while(fresh: FreshJob) -> None:
    """Blocks and images of all batches are removed too."""
    for batch in range(2):
        fresh.record.put_image(fresh.uid, fresh.producer, batch, f"{batch}.jpg", b"bytes")
        fresh.take(batch, fresh.add(batch))
    fresh.commit(1)
    fresh.record.delete(keep_mark_s=60)
    assert fresh.client.hget(fresh.key(), "state") == b"cancelled"
    assert 0 < fresh.client.ttl(fresh.key()) <= 60
    assert list(fresh.client.scan_iter(f"{fresh.key()}*")) == [fresh.key().encode()]
    fresh.record.delete()
    assert not list(fresh.client.scan_iter(f"{fresh.key()}*"))


# attach, heartbeat


def test_signs_of_life_are_taken_of_the_attached_producer_alone(stage: Stage) -> None:
    """A replaced producer, another uid, and a job that takes no more batches are refused."""
    record, job = make_job(stage)
    first = record.attach_alone(job.uid, 60)
    assert isinstance(first, str)
    until = record.load().producer_until_ms
    assert record.attach_alone(job.uid, 60) == LivingProducer(until or 0)
    assert isinstance(record.attach_alone("another", 60), str)
    assert record.heartbeat("another", first, 90) is False
    assert record.heartbeat(job.uid, "another", 90) is False
    assert record.load().producer_until_ms == until
    assert record.heartbeat(job.uid, first, 90) is True
    assert (record.load().producer_until_ms or 0) > (until or 0)
    second = record.attach_producer(job.uid, 60)
    assert record.heartbeat(job.uid, first, 90) is False
    with pytest.raises(NotFinished, match="taken over"):
        record.add_batch(job.uid, first, 0, ["a.jpg"])
    assert record.heartbeat(job.uid, second, 0) is True
    third = record.attach_alone(job.uid, 60)
    assert isinstance(third, str)
    record.seal(job.uid, third)
    assert record.heartbeat(job.uid, third, 90) is False
    assert (record.load().producer_until_ms, record.load().producer_silent_s(server_time_ms(stage.client))) == (None, 0)


# add_batch, asked again


def _add_refused(fresh: FreshJob, batch: int, *paths: str) -> None:
    before = fresh.snapshot()
    with pytest.raises(NotFinished, match="taken over"):
        fresh.add(batch, *paths)
    assert fresh.snapshot() == before


def test_only_the_last_batch_is_recognized_when_asked_again(fresh: FreshJob) -> None:
    """Only with the same images. An earlier number or other images are refused."""
    first = fresh.add(0, "a.jpg", "z.jpg")
    assert fresh.add(0, "a.jpg", "z.jpg") == first
    _add_refused(fresh, 0, "a.jpg", "y.jpg")  # another cursor
    _add_refused(fresh, 0, "b.jpg", "z.jpg")  # the same cursor
    second = fresh.add(1, "z.jpg")
    assert fresh.add(1, "z.jpg") == second
    _add_refused(fresh, 0, "a.jpg", "z.jpg")
    fresh.take(1, second)
    assert fresh.commit(1) == "stored"
    assert fresh.add(1, "z.jpg") == 0
    _add_refused(fresh, 1, "y.jpg")


def test_a_batch_that_was_resent_meanwhile_keeps_its_new_number(fresh: FreshJob) -> None:
    """It does not wait for its turn once more when the producer adds it again."""
    first = fresh.add(0, "a.jpg")
    again = fresh.record.resend(fresh.uid, 0, str(first))
    assert again is not None and again.send != first
    assert fresh.add(0, "a.jpg") == again.send


# create


def test_a_name_whose_record_has_expired_is_free(fresh: FreshJob) -> None:
    """The name is still in the registry until it is tidied up."""
    fresh.client.delete(fresh.key())
    _, again = make_job(fresh.stage)
    assert again.uid != fresh.uid


def test_the_word_that_a_job_was_cancelled_keeps_no_name(fresh: FreshJob) -> None:
    """The state stays for commands that watch. A new job replaces it at once."""
    assert fresh.record.delete(keep_mark_s=60)
    _, again = make_job(fresh.stage)
    assert (again.state, again.uid != fresh.uid) == ("enqueuing", True)
