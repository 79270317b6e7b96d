"""Each refusal of the scripts that remove, finish, reopen and tidy jobs (`shared/store/lua`): what is refused changes
nothing.
"""

import pytest
import redis

from shared.domain.paths import RootPath
from shared.store.jobs import JobRecord
from shared.store.keys import PREFIX, REGISTRY, UNFINISHED
from shared.store.redis_client import connect
from shared.store.registry import forget_missing, tidy
from shared.store.removal import _SWEPT_AT_ONCE as AT_ONCE
from shared.store.scripts import run_script
from tests.integration.conftest import LONG_S, FreshJob
from tests.support.interrupted_client import interrupted
from tests.support.script_calls import recorded_scripts

OTHER = "0" * 32
"""A uid that no job has."""


def _run(fresh: FreshJob, script: str, keys: list[str], *args: object) -> object:
    """Runs a script on parts of the record, and returns its answer."""
    full = [key[1:] if key.startswith("=") else fresh.key(key) for key in keys]
    return run_script(fresh.client, script, full, args)


def _refused(fresh: FreshJob, script: str, keys: list[str], *args: object) -> object:
    before = fresh.snapshot()
    answer = _run(fresh, script, keys, *args)
    assert fresh.snapshot() == before
    return answer


def _done(fresh: FreshJob, *, inline: bool = False) -> None:
    """A job with one committed batch; with `inline`, also with the images of another batch."""
    fresh.take(0, fresh.add())
    fresh.commit()
    if inline:
        fresh.record.put_image(fresh.uid, fresh.producer, 1, "1.jpg", b"bytes")


def _state(fresh: FreshJob, state: str) -> None:
    fresh.client.hset(fresh.key(), "state", state)


# begin_delete

_BEGIN = ["", f"={REGISTRY}", f"={UNFINISHED}", "open", "batches"]


def test_a_removal_begins_only_where_the_job_is_as_it_was_read(fresh: FreshJob) -> None:
    """A difference in uid, state or last update alone is enough to refuse the removal."""
    fresh.add()
    read = fresh.load()
    news = read.updated_ms
    assert _refused(fresh, "begin_delete", _BEGIN, "j", 0, OTHER, "enqueuing", news) == [0, b"unknown"]
    assert _refused(fresh, "begin_delete", _BEGIN, "j", 0, OTHER, "", "") == [0, b"unknown"]
    assert _refused(fresh, "begin_delete", _BEGIN, "j", 0, read.uid, "sealed", news) == [0, b"enqueuing"]
    assert _refused(fresh, "begin_delete", _BEGIN, "j", 0, "", "sealed", "") == [0, b"enqueuing"]
    assert _refused(fresh, "begin_delete", _BEGIN, "j", 0, read.uid, "enqueuing", 1) == [0, b"changed"]
    assert _refused(fresh, "begin_delete", _BEGIN, "j", 0, "", "", 1) == [0, b"changed"]
    assert _run(fresh, "begin_delete", _BEGIN, "j", 0, read.uid, "enqueuing", news) == [1, read.uid.encode()]
    assert fresh.client.hget(fresh.key(), "state") == b"cancelled"


def test_a_removal_that_asks_for_nothing_begins_with_any_job(fresh: FreshJob) -> None:
    """The batches are removed and the index entry too; the registry entry stays until the end."""
    fresh.add()
    fresh.client.expire(fresh.key(), LONG_S)
    assert _run(fresh, "begin_delete", _BEGIN, "j", 60, "", "", "") == [1, fresh.uid.encode()]
    assert not fresh.client.exists(fresh.key("open"), fresh.key("batches"), UNFINISHED)
    assert fresh.client.hmget(fresh.key(), "state", "keep_s") == [b"cancelled", b"60"]
    assert (fresh.client.ttl(fresh.key()), fresh.client.zrange(REGISTRY, 0, -1)) == (-1, [b"j"])


def test_a_removal_finds_the_job_in_the_index_by_its_queues(fresh: FreshJob) -> None:
    """Its index entry starts with the queue prefix. The entry of a job without prefix stays."""
    fresh.client.hset(fresh.key(), "queue_prefix", "run-1-")
    fresh.client.zadd(UNFINISHED, {"run-1-:j": 0})
    _run(fresh, "begin_delete", _BEGIN, "j", 0, "", "", "")
    assert fresh.client.zrange(UNFINISHED, 0, -1) == [b":j"]


def test_a_removal_that_is_cut_short_is_found_again(fresh: FreshJob) -> None:
    """This includes a job that the registry had lost. Its position does not change."""
    fresh.client.zadd(REGISTRY, {"j": 7})
    _run(fresh, "begin_delete", _BEGIN, "j", 0, "", "", "")
    assert fresh.client.zscore(REGISTRY, "j") == 7
    fresh.client.zrem(REGISTRY, "j")
    _run(fresh, "begin_delete", _BEGIN, "j", 0, "", "", "")
    assert fresh.client.zscore(REGISTRY, "j") == 0


def test_what_a_lost_record_left_behind_is_removed_and_makes_no_record(fresh: FreshJob) -> None:
    """The server evicted the record. If a state is expected, there is no such job."""
    fresh.add()
    fresh.client.delete(fresh.key())
    assert _refused(fresh, "begin_delete", _BEGIN, "j", 0, "", "cancelled", "") == [0, b"unknown"]
    assert _run(fresh, "begin_delete", _BEGIN, "j", 0, "", "", "") == [1, b""]
    assert not fresh.client.exists(fresh.key(), fresh.key("open"), fresh.key("batches"), UNFINISHED)


def test_the_index_forgets_a_job_of_a_damaged_record(fresh: FreshJob) -> None:
    """A record without uid or queues, as a server that lost a part of it leaves it."""
    fresh.client.hdel(fresh.key(), "uid", "queue_prefix")
    assert _run(fresh, "begin_delete", _BEGIN, "j", 0, "", "", "") == [1, b""]
    assert not fresh.client.exists(UNFINISHED)


# sweep

_SWEEP = ["", "stored", "inline", "block:0", "bytes:1"]


@pytest.mark.parametrize("state", ["enqueuing", "sealed"])
def test_blocks_of_unfinished_work_are_not_swept(fresh: FreshJob, state: str) -> None:
    """The job was reopened after it was read."""
    _done(fresh, inline=True)
    _state(fresh, state)
    assert _refused(fresh, "sweep", _SWEEP, fresh.uid, "0", "1") == 0


@pytest.mark.parametrize("state", ["cancelled", "finished"])
def test_a_job_that_is_over_is_swept(fresh: FreshJob, state: str) -> None:
    """Blocks, images and their lists are removed. Another job of the name keeps its own."""
    _done(fresh, inline=True)
    _state(fresh, state)
    assert _refused(fresh, "sweep", _SWEEP, OTHER, "0", "1") == 0
    assert _run(fresh, "sweep", _SWEEP, fresh.uid, "0", "1") == 1
    assert not fresh.client.exists(*map(fresh.key, ("stored", "inline", "block:0", "bytes:1")))


def test_blocks_without_a_record_are_swept(fresh: FreshJob) -> None:
    """The server evicted the record. Its uid is then empty, and no other uid is accepted."""
    _done(fresh)
    fresh.client.delete(fresh.key())
    assert _refused(fresh, "sweep", _SWEEP, fresh.uid, "0") == 0
    assert _run(fresh, "sweep", _SWEEP, "", "0") == 1
    assert not fresh.client.exists(fresh.key("stored"), fresh.key("block:0"))


# end_delete

_END = ["", f"={REGISTRY}", "stored", "inline"]


@pytest.mark.parametrize("state", ["enqueuing", "sealed", "finished"])
def test_a_removal_ends_only_what_is_cancelled(fresh: FreshJob, state: str) -> None:
    """The name may belong to a new job. The answer is its state or `unknown`."""
    _state(fresh, state)
    assert _refused(fresh, "end_delete", _END, "j", fresh.uid) == state.encode()
    assert _refused(fresh, "end_delete", _END, "j", OTHER) == b"unknown"


@pytest.mark.parametrize("left", ["stored", "inline"])
def test_a_removal_ends_only_when_all_is_swept(fresh: FreshJob, left: str) -> None:
    """Each list alone prevents the end."""
    _done(fresh, inline=True)
    fresh.client.delete(fresh.key("inline" if left == "stored" else "stored"))
    _state(fresh, "cancelled")
    assert _refused(fresh, "end_delete", _END, "j", fresh.uid) == b"not swept"
    fresh.client.delete(fresh.key(left))
    assert _run(fresh, "end_delete", _END, "j", fresh.uid) == b"deleted"
    assert not fresh.client.exists(fresh.key(), REGISTRY)


@pytest.mark.parametrize(("keep_s", "left"), [("60", 60), ("1", 1), ("0", None), (None, None), ("long", None)])
def test_the_word_stays_for_as_long_as_was_asked(fresh: FreshJob, keep_s: str | None, left: int | None) -> None:
    """Without a time nothing stays, even if an earlier producer recorded none."""
    _state(fresh, "cancelled")
    if keep_s is not None:
        fresh.client.hset(fresh.key(), "keep_s", keep_s)
    assert _run(fresh, "end_delete", _END, "j", fresh.uid) == b"deleted"
    assert fresh.client.exists(fresh.key()) == (left is not None)
    if left is not None:
        assert 0 < fresh.client.pttl(fresh.key()) <= 1000 * left


def test_a_removal_whose_time_the_server_refuses_is_found_again(fresh: FreshJob) -> None:
    """It stays in the registry until the next process completes it."""
    _state(fresh, "cancelled")
    fresh.client.hset(fresh.key(), "keep_s", "9" * 20)
    before = fresh.snapshot()
    with pytest.raises(redis.ResponseError):
        _run(fresh, "end_delete", _END, "j", fresh.uid)
    assert fresh.snapshot() == before
    assert fresh.record.complete_removal()
    assert not fresh.client.exists(fresh.key(), REGISTRY)


def test_a_removal_ends_without_a_record(fresh: FreshJob) -> None:
    """The name is removed, and no record is created."""
    fresh.client.delete(fresh.key())
    assert _refused(fresh, "end_delete", _END, "j", fresh.uid) == b"unknown"
    assert _run(fresh, "end_delete", _END, "j", "") == b"deleted"
    assert not fresh.client.exists(fresh.key(), REGISTRY)


def test_a_removal_ends_a_damaged_record(fresh: FreshJob) -> None:
    """A record without a state counts as cancelled."""
    fresh.client.hdel(fresh.key(), "state")
    assert _run(fresh, "end_delete", _END, "j", fresh.uid) == b"deleted"
    assert not fresh.client.exists(fresh.key())


# close

_CLOSE = ["", "failed", f"={UNFINISHED}", "stored", "inline"]


@pytest.mark.parametrize("left", ["stored", "inline"])
def test_a_job_is_closed_only_when_it_is_finished_and_swept(fresh: FreshJob, left: str) -> None:
    """Otherwise its record would expire while its blocks stay forever."""
    _done(fresh, inline=True)
    fresh.client.delete(fresh.key("inline" if left == "stored" else "stored"))
    fresh.client.hset(fresh.key("failed"), "0", '["0.jpg"]')
    assert _refused(fresh, "close", _CLOSE, OTHER, "j", 60) == b"unknown"
    assert _refused(fresh, "close", _CLOSE, fresh.uid, "j", 60) == b"enqueuing"
    _state(fresh, "finished")
    assert _refused(fresh, "close", _CLOSE, OTHER, "j", 60) == b"unknown"
    assert _refused(fresh, "close", _CLOSE, fresh.uid, "j", 60) == b"not swept"
    fresh.client.delete(fresh.key(left))
    assert _run(fresh, "close", _CLOSE, fresh.uid, "j", 60) == b"closed"
    assert not fresh.client.exists(UNFINISHED)
    assert 0 < fresh.client.ttl(fresh.key()) <= 60 and 0 < fresh.client.ttl(fresh.key("failed")) <= 60


@pytest.mark.parametrize("prefix", ["run-1-", None])
def test_a_closed_job_leaves_the_index_of_its_queues(fresh: FreshJob, prefix: str | None) -> None:
    """Its index entry starts with the queue prefix. An old record may have none."""
    _state(fresh, "finished")
    if prefix is None:
        fresh.client.hdel(fresh.key(), "queue_prefix")
    else:
        fresh.client.hset(fresh.key(), "queue_prefix", prefix)
    fresh.client.zadd(UNFINISHED, {":j": 0, "run-1-:j": 0})
    assert _run(fresh, "close", _CLOSE, fresh.uid, "j", 60) == b"closed"
    assert fresh.client.zrange(UNFINISHED, 0, -1) == ([b":j"] if prefix else [b"run-1-:j"])


# reopen

_REOPEN = ["", "failed", f"={REGISTRY}", f"={UNFINISHED}", "stored", "inline"]
_FAILED = "outcome:crashed"


def _finished(fresh: FreshJob, *, listed: int | None = None) -> None:
    """A finished job with three failed images, recorded or only counted."""
    fresh.client.hset(fresh.key(), mapping={"state": "finished", "images": 5, "images_done": 5, _FAILED: 3})
    if listed is None:
        fresh.client.hset(fresh.key("failed"), mapping={str(k): f'["{k}.jpg"]' for k in range(3)})
    else:
        fresh.client.hset(fresh.key(), "failed_listed", listed)
    fresh.client.expire(fresh.key(), LONG_S)


@pytest.mark.parametrize("left", ["stored", "inline"])
def test_a_job_is_not_opened_again_before_it_is_swept(fresh: FreshJob, left: str) -> None:
    """Earlier blocks and images would pass for those of the retried images."""
    _finished(fresh)
    if left == "stored":
        fresh.client.zadd(fresh.key(left), {"0": 0})
    else:
        fresh.client.hset(fresh.key(left), "0", 1)
    assert _refused(fresh, "reopen", _REOPEN, fresh.uid, OTHER, "j", _FAILED) == b"not swept"


@pytest.mark.parametrize("listed", [None, 3])
def test_a_job_is_opened_again_for_its_failed_images(fresh: FreshJob, listed: int | None) -> None:
    """It gets another uid whether the record or the results folder lists the images, and no longer expires."""
    _finished(fresh, listed=listed)
    fresh.client.expire(fresh.key("failed"), LONG_S)
    fresh.client.delete(UNFINISHED)
    assert _run(fresh, "reopen", _REOPEN, fresh.uid, OTHER, "j", _FAILED) == 3
    job = fresh.load()
    assert (job.uid, job.state, job.images, job.images_done, job.retries) == (OTHER, "enqueuing", 2, 2, 1)
    assert (fresh.client.ttl(fresh.key()), job.outcomes) == (-1, {})
    assert fresh.client.ttl(fresh.key("failed")) == (-1 if listed is None else -2)
    assert fresh.client.zrange(UNFINISHED, 0, -1) == [b":j"]


def test_a_list_in_the_record_counts_before_one_elsewhere(fresh: FreshJob) -> None:
    """A count left by an earlier retry does not apply to this time's images."""
    _finished(fresh, listed=4)
    fresh.client.hset(fresh.key("failed"), "0", '["0.jpg"]')
    assert _run(fresh, "reopen", _REOPEN, fresh.uid, OTHER, "j", _FAILED) == 1


@pytest.mark.parametrize("listed", [None, 0])
def test_nothing_is_opened_where_nothing_failed(fresh: FreshJob, listed: int | None) -> None:
    """The record is unchanged and still expires."""
    _finished(fresh, listed=listed or 0)
    if listed is None:
        fresh.client.hdel(fresh.key(), "failed_listed")
    assert _refused(fresh, "reopen", _REOPEN, fresh.uid, OTHER, "j", _FAILED) == 0
    assert fresh.client.ttl(fresh.key()) > 0


@pytest.mark.parametrize("prefix", ["run-1-", None])
def test_a_reopened_job_is_in_the_index_of_its_queues(fresh: FreshJob, prefix: str | None) -> None:
    """Otherwise its workers would not look for its lost batches."""
    _finished(fresh)
    fresh.client.delete(UNFINISHED)
    if prefix is None:
        fresh.client.hdel(fresh.key(), "queue_prefix")
    else:
        fresh.client.hset(fresh.key(), "queue_prefix", prefix)
    assert _run(fresh, "reopen", _REOPEN, fresh.uid, OTHER, "j", _FAILED) == 3
    assert fresh.client.zrange(UNFINISHED, 0, -1) == [f"{prefix or ''}:j".encode()]


# tidy, forget


@pytest.mark.parametrize("state", ["enqueuing", "sealed"])
def test_unfinished_jobs_are_indexed_by_their_records(fresh: FreshJob, state: str) -> None:
    """This includes records from before the index existed, with or without a queue prefix."""
    for prefix in ("run-1-", None):
        _state(fresh, state)
        fresh.client.delete(UNFINISHED)
        if prefix:
            fresh.client.hset(fresh.key(), "queue_prefix", prefix)
        else:
            fresh.client.hdel(fresh.key(), "queue_prefix")
        assert tidy(fresh.client, ["j"]) == []
        assert fresh.client.zrange(UNFINISHED, 0, -1) == [f"{prefix or ''}:j".encode()]
        assert fresh.client.zrange(REGISTRY, 0, -1) == [b"j"]


def test_jobs_whose_end_was_cut_short_are_named(fresh: FreshJob) -> None:
    """Interrupted removals are always returned, finished jobs only while they are in the index. Nothing changes."""
    before = fresh.snapshot()
    for state, left in (("cancelled", ["j"]), ("finished", ["j"]), ("enqueuing", [])):
        _state(fresh, state)
        assert tidy(fresh.client, ["j"]) == left
    assert fresh.snapshot() == before
    fresh.client.delete(UNFINISHED)
    for state, left in (("cancelled", ["j"]), ("finished", [])):
        _state(fresh, state)
        assert tidy(fresh.client, ["j"]) == left
    assert not fresh.client.exists(UNFINISHED)


def test_names_without_a_record_are_forgotten_among_others(fresh: FreshJob) -> None:
    """Names without a record are removed wherever they are in the list."""
    fresh.client.zadd(REGISTRY, {"gone": 1, "also-gone": 2})
    assert tidy(fresh.client, ["gone", "j", "also-gone"]) == []
    assert fresh.client.zrange(REGISTRY, 0, -1) == [b"j"]
    assert fresh.client.zrange(UNFINISHED, 0, -1) == [b":j"]


def test_a_key_of_another_type_is_no_interrupted_removal(fresh: FreshJob) -> None:
    """Not even if the index lists its name."""
    fresh.client.set(f"{PREFIX}job:odd", "7")
    fresh.client.zadd(UNFINISHED, {":odd": 0})
    assert tidy(fresh.client, ["odd"]) == []


def test_a_name_with_a_record_is_not_forgotten(fresh: FreshJob) -> None:
    """The job was created again just after it was found missing."""
    before = fresh.snapshot()
    forget_missing(fresh.client, "", "j")
    assert fresh.snapshot() == before
    fresh.client.delete(fresh.key())
    forget_missing(fresh.client, "", "j")
    assert not fresh.client.exists(REGISTRY, UNFINISHED)


# The calls around the scripts


def test_a_completed_removal_is_of_the_job_that_was_cancelled(fresh: FreshJob) -> None:
    """Another job of the name was created and cancelled in between. That one stays."""
    fresh.half_cancelled()
    client = interrupted(fresh.stage, lambda: fresh.client.hset(fresh.key(), "uid", OTHER))
    assert JobRecord(client, "j").complete_removal() is False
    assert fresh.client.hget(fresh.key(), "uid") == OTHER.encode()


def test_blocks_are_removed_in_bounded_portions(fresh: FreshJob) -> None:
    """The server answers nobody while a script runs."""
    names = [str(batch) for batch in range(AT_ONCE + 2)]
    fresh.client.zadd(fresh.key("stored"), {name: int(name) for name in names})
    fresh.client.mset({fresh.key(f"block:{name}"): b"block" for name in names})
    with recorded_scripts(connect(fresh.stage.settings)) as calls:
        assert fresh.record.delete()
    of_blocks = [sum(":block:" in key for key in call.declared) for call in calls]
    assert [count for count in of_blocks if count] == [AT_ONCE, 2]
    assert not list(fresh.client.scan_iter(f"{fresh.key()}*"))


def test_a_record_of_another_version_is_swept_to_its_last_batch(fresh: FreshJob) -> None:
    """It has no list: the images of the batch that was about to be added are removed too."""
    fresh.client.hset(fresh.key(), mapping={"version": "99", "batches": AT_ONCE})
    fresh.client.mset({fresh.key(f"block:{batch}"): b"block" for batch in (0, AT_ONCE - 1)})
    fresh.client.hset(fresh.key(f"bytes:{AT_ONCE}"), "a.jpg", b"F")
    assert fresh.record.delete()
    assert not list(fresh.client.scan_iter(f"{fresh.key()}*"))


@pytest.mark.parametrize("fits", [True, False])
def test_failed_images_are_noted_or_counted(fresh: FreshJob, monkeypatch: pytest.MonkeyPatch, fits: bool) -> None:
    """Never both, because a count next to the names would outlive them."""
    monkeypatch.setattr("shared.store.finishing.fits_record", lambda failed: fits)
    fresh.complete()
    assert fresh.finish({0: RootPath("0.jpg"), 1: RootPath("1.jpg")}) == "finished"
    assert fresh.load().failed_listed == (0 if fits else 2)
    assert fresh.record.failed_images() == ({0: "0.jpg", 1: "1.jpg"} if fits else {})
