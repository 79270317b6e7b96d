"""What the reconciler requeues and what it leaves alone, step by step on a real server."""

import time
from collections.abc import Callable
from contextlib import suppress

import pytest
import redis

from shared.domain.job import Job
from shared.domain.paths import RootPath
from shared.messaging.celery_app import make_celery, send_aggregate, send_batch
from shared.messaging.messages import Aggregate, EmbedBatch
from shared.store.jobs import JobRecord, list_jobs
from shared.store.keys import PREFIX, REGISTRY, UNFINISHED
from shared.store.queue_inspection import waiting_tasks
from shared.store.redis_client import Client, server_time_ms
from shared.store.registry import _AT_ONCE as _NAMES_AT_ONCE
from tests.integration.conftest import LONG_S, FreshJob
from tests.support.jobs import add_batch, add_tiles, make_job
from tests.support.reconciling import MOMENT_S, make_reconciler, messages_in
from tests.support.stage import Stage, wait_until
from worker.supervision.reconciler import _JOBS_AT_ONCE, Reconciler

pytestmark = pytest.mark.usefixtures("guarded_transport")


def _step_until_sent(reconciler: Reconciler, stage: Stage, queue: str = "embed", count: int = 1) -> None:
    def sent() -> bool:
        reconciler.step()
        return bool(stage.client.llen(queue) == count)

    wait_until(sent, 20, "it is requeued")


# Election


def test_one_worker_reconciles(fresh: FreshJob) -> None:
    """The others do nothing until it resigns or its lease expires."""
    fresh.add()
    first, second = make_reconciler(fresh.stage, LONG_S, "w"), make_reconciler(fresh.stage, LONG_S, "v")
    first.step()
    lock = f"{PREFIX}reconciler:"
    assert fresh.client.get(lock) == b"w"
    for _ in range(3):
        second.step()
    second.resign()
    assert fresh.client.get(lock) == b"w"
    assert not second._suspects
    fresh.client.pexpire(lock, 1000)
    first.step()
    assert fresh.client.pttl(lock) > 1000 * LONG_S / 2
    first.resign()
    assert not fresh.client.exists(lock)
    _step_until_sent(make_reconciler(fresh.stage, MOMENT_S, "v"), fresh.stage)


def test_its_lock_runs_out(fresh: FreshJob) -> None:
    """If it dies, another takes over after a lease."""
    make_reconciler(fresh.stage, LONG_S).step()
    assert 0 < fresh.client.pttl(f"{PREFIX}reconciler:") <= 1000 * LONG_S


# Batches


@pytest.mark.parametrize("paths", ['["/etc/passwd"]', "[7]", '"a.jpg"', "no JSON"])
def test_damaged_paths_are_their_jobs_problem(fresh: FreshJob, paths: str) -> None:
    """That job gets a problem and no message; the next job is handled."""
    fresh.add()
    fresh.client.hset(fresh.key("batches"), "0", paths)
    record, job = make_job(fresh.stage, "next")
    add_batch(record, job.uid, record.attach_producer(job.uid), 0, [RootPath("a.jpg")])
    _step_until_sent(make_reconciler(fresh.stage), fresh.stage)
    assert [message["job"] for message in messages_in(fresh.stage)] == ["next"]
    assert "is damaged" in str(fresh.load().problem)


@pytest.mark.parametrize("damage", ["no paths", "no number", "another kind"])
def test_a_damaged_record_costs_the_others_nothing(
    fresh: FreshJob, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Someone else has written to the server. Job and log name the problem once; the next job is handled."""
    fresh.add()
    if damage == "no paths":
        fresh.client.hdel(fresh.key("batches"), "0")
    elif damage == "no number":
        fresh.client.zadd(fresh.key("open"), {"first": 0.5})
    else:
        fresh.client.delete(fresh.key("open"))
        fresh.client.set(fresh.key("open"), "7")
    record, job = make_job(fresh.stage, "next")
    add_batch(record, job.uid, record.attach_producer(job.uid), 0, [RootPath("a.jpg")])
    reconciler = make_reconciler(fresh.stage)
    _step_until_sent(reconciler, fresh.stage)
    assert [message["job"] for message in messages_in(fresh.stage)] == ["next"]
    noted = fresh.load()
    assert "is damaged" in str(noted.problem)
    assert caplog.text.count("is damaged") == 1
    reconciler.step()
    assert fresh.load() == noted
    assert caplog.text.count("is damaged") == 1


def _damage(fresh: FreshJob, damage: str) -> None:
    """Damages the record as another client may, or as a server that lost a part of it."""
    if damage.startswith("claim"):
        fresh.complete()
        assert fresh.record.claim_aggregation("w/9", LONG_S)
        fresh.client.hset(fresh.key(), "claim_ms", damage.removeprefix("claim "))
    elif damage == "lease":
        fresh.add()
        fresh.take()
        fresh.client.hset(fresh.key(), "lease_ms", "long")
    elif damage == "paths":
        fresh.add()
        fresh.client.hset(fresh.key("batches"), "0", "[" * 100_000)
    elif damage == "options":
        fresh.add()
        fresh.client.hset(fresh.key(), "options", "[" * 100_000)
    elif damage == "past its time":
        fresh.client.hset(fresh.key(), "updated_ms", 1)
        fresh.client.set(fresh.key("stored"), "7")
    else:
        fresh.half_cancelled()
        if damage == "uid":
            fresh.client.hset(fresh.key(), "uid", b"\xff")
        elif damage == "time":
            fresh.client.hset(fresh.key(), "keep_s", "9" * 20)
        else:
            fresh.client.set(fresh.key("stored"), "7")


@pytest.mark.parametrize(
    "damage",
    ["claim long", "claim 1.0", "lease", "paths", "options", "past its time", "uid", "time", "blocks"],
)
def test_whatever_is_damaged_the_next_job_has_its_turn(fresh: FreshJob, damage: str) -> None:
    """No step fails, and every pass ends."""
    _damage(fresh, damage)
    record, job = make_job(fresh.stage, "next")
    add_batch(record, job.uid, record.attach_producer(job.uid), 0, [RootPath("a.jpg")])
    reconciler = make_reconciler(fresh.stage)
    _step_until_sent(reconciler, fresh.stage)
    assert [message["job"] for message in messages_in(fresh.stage)] == ["next"]
    assert reconciler._round.suspects == {}


def test_a_job_that_is_half_removed_is_looked_at_no_more(fresh: FreshJob) -> None:
    """It was past its time, and the rest of its record is damaged."""
    _damage(fresh, "past its time")
    reconciler = make_reconciler(fresh.stage)
    reconciler.step()
    assert fresh.client.hget(fresh.key(), "state") == b"cancelled"
    assert reconciler._round.before == {}


@pytest.mark.parametrize("state", ["cancelled", "finished"])
def test_a_damaged_record_of_a_job_that_has_ended_is_said_to_be_once(
    fresh: FreshJob, caplog: pytest.LogCaptureFixture, state: str
) -> None:
    """Once the record is repaired, its end is completed."""
    fresh.client.hset(fresh.key(), "state", state)
    fresh.client.set(fresh.key("stored"), "7")
    reconciler = make_reconciler(fresh.stage)
    for _ in range(3):
        reconciler.step()
    assert caplog.text.count("The record of job 'j' is damaged (WRONGTYPE") == 1
    fresh.client.delete(fresh.key("stored"))
    reconciler.step()
    assert fresh.client.ttl(fresh.key()) == (-2 if state == "cancelled" else reconciler._settings.job_ttl_s)


def test_jobs_are_looked_at_whatever_the_registry_is(fresh: FreshJob) -> None:
    """The index of unfinished jobs suffices to requeue what they lost."""
    fresh.add()
    fresh.client.delete(REGISTRY)
    fresh.client.set(REGISTRY, "7")
    reconciler = make_reconciler(fresh.stage)

    def sent() -> bool:
        with suppress(redis.ResponseError):
            reconciler.step()
        return bool(fresh.client.llen("embed") == 1)

    wait_until(sent, 20, "it is sent again")


def test_records_of_another_version_are_said_once(fresh: FreshJob, caplog: pytest.LogCaptureFixture) -> None:
    """Only a reconciler of that version can requeue their messages; those of other jobs are requeued."""
    fresh.add()
    for name in ("a", "b"):
        record, job = make_job(fresh.stage, name)
        record.add_batch(job.uid, record.attach_producer(job.uid), 0, [RootPath("a.jpg")])
        fresh.client.hset(f"{PREFIX}job:{name}", "version", "99")
    reconciler = make_reconciler(fresh.stage)
    _step_until_sent(reconciler, fresh.stage)
    for _ in range(3):
        reconciler.step()
    assert [message["job"] for message in messages_in(fresh.stage)] == ["j"]
    said = [entry.getMessage() for entry in caplog.records if entry.__dict__.get("action") == "record_unread"]
    assert sorted(said) == [
        f"The record of job '{name}' cannot be read: another version of facequeue made it, which can finish it."
        for name in ("a", "b")
    ]


def test_blocks_of_a_damaged_record_cost_the_others_nothing(fresh: FreshJob, caplog: pytest.LogCaptureFixture) -> None:
    """Its blocks cannot be moved to the spill file. Lost batches of other jobs are still requeued."""
    fresh.complete()
    fresh.client.hset(fresh.key(), "block_bytes", 2**40)
    fresh.client.delete(fresh.key("stored"))
    fresh.client.set(fresh.key("stored"), "7")
    record, job = make_job(fresh.stage, "next")
    add_batch(record, job.uid, record.attach_producer(job.uid), 0, [RootPath("a.jpg")])
    _step_until_sent(make_reconciler(fresh.stage), fresh.stage)
    assert "blocks stay on the server" in caplog.text


def test_a_key_of_another_kind_under_a_jobs_name_stops_nothing(fresh: FreshJob) -> None:
    """The reconciler continues, and listing the jobs reports the key."""
    fresh.client.set(f"{PREFIX}job:a", "7")
    fresh.client.zadd(REGISTRY, {"a": 0})
    fresh.client.zadd(UNFINISHED, {":a": 0})
    fresh.add()
    _step_until_sent(make_reconciler(fresh.stage), fresh.stage)
    said: list[str] = []
    assert [job.name for job in list_jobs(fresh.client, said.append)] == ["j"]
    assert len(said) == 1 and "'a'" in said[0]


def test_a_removal_is_completed_whatever_the_record_says(fresh: FreshJob) -> None:
    """For example, an invalid time to keep the state must not stop the reconciler."""
    fresh.half_cancelled()
    fresh.client.hset(fresh.key(), "keep_s", "long")
    make_reconciler(fresh.stage).step()
    assert not fresh.record.exists()


def test_a_job_whose_producer_waits_for_room_is_kept(fresh: FreshJob) -> None:
    """It has no batch yet, and only its heartbeat changes."""
    fresh.record.attach_producer(fresh.uid, LONG_S)
    fresh.client.hset(fresh.key(), "updated_ms", 1)
    make_reconciler(fresh.stage).step()
    assert fresh.load().uid == fresh.uid
    fresh.client.hset(fresh.key(), mapping={"updated_ms": 1, "producer_until_ms": 1})
    make_reconciler(fresh.stage, name="w").step()
    assert not fresh.record.exists()


def test_names_that_are_no_text_stop_nothing(fresh: FreshJob) -> None:
    """Someone else has put them into the registry and the index."""
    fresh.client.zadd(REGISTRY, {b"\xff": 0})
    fresh.client.zadd(UNFINISHED, {b":\xff": 0, b"\xff:j": 0})
    fresh.add()
    _step_until_sent(make_reconciler(fresh.stage), fresh.stage)
    assert [job.name for job in list_jobs(fresh.client)] == ["j"]


def test_a_lost_batch_is_sent_with_its_new_number(fresh: FreshJob) -> None:
    """Not at the first check, and then once."""
    fresh.add(0, "a.jpg", "b.jpg")
    reconciler = make_reconciler(fresh.stage)
    reconciler.step()
    assert messages_in(fresh.stage) == []
    _step_until_sent(reconciler, fresh.stage)
    expected = {"version": 1, "job": "j", "uid": fresh.uid, "batch": 0, "send": 2, "images": ["a.jpg", "b.jpg"]}
    assert messages_in(fresh.stage) == [expected]
    with pytest.raises(AssertionError, match="not within"):
        wait_until(lambda: reconciler.step() or fresh.client.llen("embed") != 1, 10 * MOMENT_S, "it is sent twice")


def test_what_was_just_popped_has_a_third_of_a_lease(fresh: FreshJob) -> None:
    """A message that was just taken looks lost until its worker leases the batch."""
    fresh.add()
    reconciler = make_reconciler(fresh.stage, LONG_S)
    for _ in range(3):
        reconciler.step()
    assert messages_in(fresh.stage) == []
    assert list(reconciler._suspects) == [(fresh.uid, 0, "1")]
    fresh.take()
    reconciler.step()
    assert not reconciler._suspects


def test_what_waits_or_is_in_work_or_done_is_left_alone(fresh: FreshJob) -> None:
    """Each state alone prevents a requeue."""
    for batch in range(3):
        fresh.add(batch)
    message = EmbedBatch(version=1, job="j", uid=fresh.uid, batch=0, send=1, images=["0.jpg"])
    send_batch(make_celery(fresh.stage.settings), fresh.stage.settings, "embed", message)
    fresh.take(1, 2)
    fresh.take(2, 3)
    fresh.commit(2)
    reconciler = make_reconciler(fresh.stage)
    reconciler.step()
    assert not reconciler._suspects
    fresh.run_out(1)
    _step_until_sent(reconciler, fresh.stage, count=2)
    assert [message["batch"] for message in messages_in(fresh.stage)] == [1, 0]


def test_jobs_of_other_queues_are_left_to_their_own_workers(fresh: FreshJob) -> None:
    """Other workers have another runtime, data root and time to live."""
    fresh.add()
    fresh.client.hset(fresh.key(), "queue_prefix", "run-1-")
    fresh.client.delete(UNFINISHED)  # the index is made from the record
    reconciler = make_reconciler(fresh.stage)
    reconciler.step()
    reconciler.step()
    assert not reconciler._suspects
    fresh.client.hset(fresh.key(), "queue_prefix", "")
    reconciler.step()
    assert reconciler._suspects


def test_a_cancelled_job_is_looked_at_no_more(fresh: FreshJob) -> None:
    """A finished job is skipped too."""
    fresh.add()
    fresh.half_cancelled()
    reconciler = make_reconciler(fresh.stage)
    reconciler.step()
    assert not reconciler._suspects


def test_a_full_server_takes_what_is_sent(fresh: FreshJob) -> None:
    """Lost batches, and those of a job without its turn: batches that are done free memory."""
    fresh.add()
    waiting, job = make_job(fresh.stage, "k")
    waiting.add_batch(job.uid, waiting.attach_producer(job.uid), 0, ["k.jpg"])
    reconciler = make_reconciler(fresh.stage)
    fresh.client.config_set("maxmemory", 1)
    _step_until_sent(reconciler, fresh.stage, count=2)
    assert {str(message["job"]) for message in messages_in(fresh.stage)} == {"j", "k"}


# Aggregation


def test_a_lost_aggregation_is_sent_again(fresh: FreshJob) -> None:
    """Not at the first check, and only once while its message waits."""
    fresh.complete()
    reconciler = make_reconciler(fresh.stage)
    reconciler.step()
    assert messages_in(fresh.stage, "aggregate") == []
    _step_until_sent(reconciler, fresh.stage, "aggregate")
    assert messages_in(fresh.stage, "aggregate") == [{"version": 1, "job": "j", "uid": fresh.uid}]
    with pytest.raises(AssertionError, match="not within"):
        wait_until(lambda: reconciler.step() or fresh.client.llen("aggregate") != 1, 10 * MOMENT_S, "it is sent twice")


@pytest.mark.parametrize("why", ["claimed", "waiting", "not sealed", "not complete", "has a problem"])
def test_no_aggregation_is_sent_without_need(fresh: FreshJob, why: str) -> None:
    """Not while it is leased or its message waits, before the end, or after a recorded problem."""
    if why == "not complete":
        fresh.add()
        assert fresh.seal() is False
        fresh.take()
    elif why == "not sealed":
        fresh.take(0, fresh.add())
        fresh.commit()
    else:
        fresh.complete()
    if why == "claimed":
        assert fresh.record.claim_aggregation("w/9", LONG_S)
    if why == "waiting":
        app = make_celery(fresh.stage.settings)
        send_aggregate(app, "aggregate", Aggregate(version=1, job="j", uid=fresh.uid))
    if why == "has a problem":
        fresh.record.note_problem(fresh.uid, "disk full")
    reconciler = make_reconciler(fresh.stage)
    reconciler.step()
    assert not reconciler._suspects
    assert fresh.client.llen("aggregate") == (why == "waiting")


# Steps


def _many_jobs(fresh: FreshJob) -> int:
    """More jobs than one read of the index returns, each with a lost batch."""
    names = [f"many-{number:02}" for number in range(2 * _JOBS_AT_ONCE)]
    for name in names:
        record, job = make_job(fresh.stage, name)
        add_batch(record, job.uid, record.attach_producer(job.uid), 0, [RootPath("0.jpg")])
    fresh.add()
    return len(names) + 1


def test_a_step_looks_at_all_jobs_while_there_is_time(fresh: FreshJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is checked once per step, before anything is sent."""
    monkeypatch.setattr("worker.supervision.reconciler._STEP_S", 60)
    jobs, reconciler, looks = _many_jobs(fresh), make_reconciler(fresh.stage, LONG_S), []
    monkeypatch.setattr(reconciler._spill_policy, "step", lambda found: bool(looks.append(found)))
    reconciler.step()
    assert (len(reconciler._suspects), len(looks)) == (jobs, 1)


def test_queues_are_read_once_a_round_and_only_for_jobs(fresh: FreshJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each read takes the server's time."""
    monkeypatch.setattr("worker.supervision.reconciler._STEP_S", 60)
    reads: list[str] = []

    def noting(read: Callable[[Client, str], set[str]]) -> Callable[[Client, str], set[str]]:
        return lambda client, queue: reads.append(queue) or read(client, queue)  # type: ignore[func-returns-value]

    monkeypatch.setattr("worker.supervision.watched_queues.waiting_tasks", noting(waiting_tasks))
    for number in range(2 * _JOBS_AT_ONCE):
        record, job = make_job(fresh.stage, f"complete-{number}")
        record.seal(job.uid, record.attach_producer(job.uid))
    make_reconciler(fresh.stage, LONG_S).step()
    assert sorted(reads) == ["aggregate", "embed"]
    fresh.client.flushall()
    make_reconciler(fresh.stage, LONG_S).step()
    assert len(reads) == 2


def test_a_step_without_time_goes_on_in_the_next(fresh: FreshJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for the next step soon, and no job is handled twice in a pass."""
    monkeypatch.setattr("worker.supervision.reconciler._STEP_S", 0)
    jobs, reconciler = _many_jobs(fresh), make_reconciler(fresh.stage, LONG_S)
    looked = []
    for _ in range(2):
        assert reconciler.step() is True
        looked.append(len(reconciler._round.suspects))
    assert looked == [_JOBS_AT_ONCE, 2 * _JOBS_AT_ONCE]
    assert not reconciler.step()
    assert (len(reconciler._suspects), reconciler._round.suspects) == (jobs, {})


def test_room_is_made_with_the_blocks_of_all_jobs(fresh: FreshJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of the previous pass count too. If more has to be moved, the next step follows soon."""
    fresh.take(0, fresh.add())
    fresh.commit()
    make_job(fresh.stage, "without-blocks")
    reconciler, looks = make_reconciler(fresh.stage, LONG_S), []
    monkeypatch.setattr(reconciler._spill_policy, "step", lambda jobs: looks.append([job.name for job in jobs]) or True)
    assert (reconciler.step(), reconciler.step()) == (True, True)
    assert looks == [["j"], ["j"]]


def test_a_suspect_is_lost_after_a_third_of_a_lease(fresh: FreshJob) -> None:
    """Neither earlier nor later."""
    fresh.add()
    reconciler = make_reconciler(fresh.stage, LONG_S)
    reconciler.step()
    (suspect,) = reconciler._suspects
    for ago, sent in ((LONG_S / 3 - 60, 0), (LONG_S / 3 + 60, 1)):
        reconciler._suspects[suspect] = time.monotonic() - ago
        reconciler.step()
        assert fresh.client.llen("embed") == sent


# Time


def test_a_job_without_news_is_said_to_be_stalled_once(fresh: FreshJob, caplog: pytest.LogCaptureFixture) -> None:
    """The line has the number of days, and is repeated after a change. The job is never removed."""
    fresh.add()
    days_ago = server_time_ms(fresh.client) - 3 * 86_400_000
    reconciler = make_reconciler(fresh.stage, LONG_S)
    reconciler._settings = reconciler._settings.model_copy(update={"job_ttl_s": 86_400})
    for news, said in ((days_ago, 1), (days_ago, 1), (days_ago + 3 * 86_400_000, 1), (days_ago, 2)):
        fresh.client.hset(fresh.key(), "updated_ms", news)
        reconciler.step()
        assert caplog.text.count("job j is stalled: no news for 3.0 days") == said
        assert (fresh.uid, 0, "1") in reconciler._suspects
    assert fresh.load().batches == 1


def test_a_job_that_never_began_is_removed_after_its_time(fresh: FreshJob, caplog: pytest.LogCaptureFixture) -> None:
    """It has no work to lose."""
    caplog.set_level("INFO", "facequeue")
    reconciler = make_reconciler(fresh.stage, LONG_S)
    reconciler.step()
    assert fresh.record.exists()
    fresh.client.hset(fresh.key(), "updated_ms", 1)
    reconciler.step()
    assert not fresh.record.exists()
    assert caplog.text.count("stalled job j without batches removed") == 1
    assert reconciler._round.before == {}


def test_a_job_that_begins_at_the_end_of_its_time_is_looked_after(
    fresh: FreshJob, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its producer continued between the check and the removal, which finds the change."""
    caplog.set_level("INFO", "facequeue")
    fresh.client.hset(fresh.key(), "updated_ms", 1)
    delete = JobRecord.delete

    def begins_before(record: JobRecord, only: Job) -> bool:
        fresh.add()
        return delete(record, only)

    monkeypatch.setattr(JobRecord, "delete", begins_before)
    reconciler = make_reconciler(fresh.stage, LONG_S)
    reconciler.step()
    assert list(reconciler._suspects) == [(fresh.uid, 0, "1")]
    assert "removed" not in caplog.text


# The registry


def test_the_next_step_follows_soon_until_the_registry_was_looked_through(fresh: FreshJob) -> None:
    """Interrupted work is completed soon after a worker starts, however many jobs there are."""
    for number in range(_NAMES_AT_ONCE):
        fresh.client.hset(f"{PREFIX}job:old-{number}", "state", "finished")
        fresh.client.zadd(REGISTRY, {f"old-{number}": number})
    fresh.half_cancelled()
    reconciler = make_reconciler(fresh.stage, LONG_S)
    assert (reconciler.step(), fresh.client.exists(fresh.key())) == (True, 1)
    assert (reconciler.step(), fresh.client.exists(fresh.key())) == (False, 0)
    assert reconciler.step() is False


# Tiles of the pair matrix


def _with_tiles(fresh: FreshJob) -> int:
    fresh.complete()
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    first = add_tiles(fresh.record, fresh.uid, "w/9", "a" * 32, 2)
    fresh.record.release_aggregation(fresh.uid, "w/9")
    return first


def test_lost_tiles_are_requeued_to_the_aggregators(fresh: FreshJob) -> None:
    """With later send numbers, all at once, before all that waits; while there are tiles, no aggregation is missed."""
    first = _with_tiles(fresh)
    other = Aggregate(version=1, job="other", uid="0" * 32)
    send_aggregate(make_celery(fresh.stage.settings), "aggregate", other)
    reconciler = make_reconciler(fresh.stage)
    wait_until(lambda: reconciler.step() or fresh.client.llen("aggregate") > 1, 20, "they are requeued")
    message = {"version": 1, "job": "j", "uid": fresh.uid, "stage": "a" * 32}
    *tiles, last = messages_in(fresh.stage, "aggregate")
    assert last == other.model_dump()
    assert sorted(tiles, key=lambda sent: int(str(sent["batch"]))) == [
        message | {"batch": 1 + tile, "send": first + 2 + tile} for tile in range(2)
    ]
    for _ in range(5):
        reconciler.step()
    assert fresh.client.llen("aggregate") == 3 and not fresh.client.exists("embed")


def test_tiles_of_a_job_with_a_problem_wait(fresh: FreshJob) -> None:
    """Until somebody asks for the job again."""
    _with_tiles(fresh)
    fresh.record.note_problem(fresh.uid, "disk full")
    reconciler = make_reconciler(fresh.stage, MOMENT_S)
    until = time.monotonic() + 3 * MOMENT_S  # a message counts as lost after a third of the lease
    while time.monotonic() < until:
        reconciler.step()
    assert not fresh.client.exists("aggregate")
    fresh.record.go_on(fresh.uid)
    _step_until_sent(reconciler, fresh.stage, "aggregate", 2)


def test_the_aggregation_after_the_last_tile_is_not_lost(fresh: FreshJob) -> None:
    """Its message is sent again like that after the last batch."""
    first = _with_tiles(fresh)
    for tile in range(2):
        fresh.take(1 + tile, first + tile)
        fresh.record.commit_tile(fresh.uid, 1 + tile, "a" * 32)
    _step_until_sent(make_reconciler(fresh.stage), fresh.stage, "aggregate")
    assert messages_in(fresh.stage, "aggregate") == [{"version": 1, "job": "j", "uid": fresh.uid}]
