"""Removing and finishing jobs in steps, with interruptions, and without touching other jobs."""

from dataclasses import replace

import pytest

from producer.submission.jobs import cancel_job
from shared.domain.errors import InvalidRequest
from shared.domain.job import Job
from shared.domain.outcomes import Outcome, Verdict
from shared.domain.priority import Priority
from shared.store.jobs import JobRecord
from shared.store.keys import PREFIX, REGISTRY, UNFINISHED
from shared.store.redis_client import connect
from shared.store.scripts import run_script
from shared.store.turns import next_turn
from tests.support.jobs import add_batch, do_batch, finish_job, make_job
from tests.support.script_calls import recorded_scripts
from tests.support.stage import Stage
from worker.supervision.reconciler import Reconciler

KEY = f"{PREFIX}job:j"
SWEPT = [f"{KEY}:stored", f"{KEY}:inline"]
MANY = 1000


def keys_of(stage: Stage, name: str = "j") -> set[str]:
    """The keys of a job on the server."""
    return {key.decode() for key in stage.client.scan_iter(f"{PREFIX}job:{name}*")}


def make_many_blocks(stage: Stage, job: Job, blocks: int, images: int = 0) -> None:
    """Makes a record look as if so many batches were done, and stores images of others."""
    with stage.client.pipeline(transaction=False) as pipe:
        for batch in range(blocks):
            pipe.set(f"{PREFIX}job:{job.name}:block:{batch}", b"block")
            pipe.zadd(f"{PREFIX}job:{job.name}:stored", {str(batch): batch})
        for batch in range(blocks, blocks + images):
            pipe.hset(f"{PREFIX}job:{job.name}:bytes:{batch}", "a.jpg", b"F")
            pipe.hset(f"{PREFIX}job:{job.name}:inline", str(batch), 1)
        pipe.hset(f"{PREFIX}job:{job.name}", "batches", blocks)
        pipe.execute()


def reconcile(stage: Stage, steps: int = 2) -> None:
    """Runs some steps of a reconciler for other queues."""
    settings = stage.settings.model_copy(update={"queue_prefix": "other-"})
    reconciler = Reconciler(None, stage.client, settings, "w")
    for _ in range(steps):
        reconciler.step()
    reconciler.resign()


def test_a_job_that_was_opened_again_is_not_pruned(stage: Stage) -> None:
    """It was read as finished, but a retry was faster. Its work stays."""
    record, _ = make_job(stage)
    finish_job(record, {1: "b.jpg"})
    read = record.load()
    assert record.reopen(read) == 1
    before = stage.client.hgetall(KEY)
    assert record.delete(read) is False
    assert stage.client.hgetall(KEY) == before
    assert record.failed_images() == {1: "b.jpg"}


def test_a_job_of_the_same_uid_in_another_state_is_not_removed(stage: Stage) -> None:
    """It was sealed after it was read."""
    record, job = make_job(stage)
    record.seal(job.uid, record.attach_producer(job.uid))
    assert record.delete(job) is False
    assert record.load().state == "sealed"


def test_a_job_with_news_is_not_removed_for_its_age(stage: Stage) -> None:
    """It had no batch when it was read. A producer continued meanwhile."""
    record, job = make_job(stage)
    stage.client.hset(KEY, "updated_ms", 1)
    read = record.load()
    record.add_batch(job.uid, record.attach_producer(job.uid), 0, ["a.jpg"])
    assert record.delete(read) is False
    assert record.load().batches == 1


def test_no_script_removes_much_at_once(stage: Stage) -> None:
    """The server answers nobody meanwhile, neither on removal nor on finishing a large job."""
    for name in ("removed", "finished"):
        record, job = make_job(stage, name)
        record.seal(job.uid, record.attach_producer(job.uid))
        make_many_blocks(stage, job, MANY, images=300)
        with recorded_scripts(connect(stage.settings)) as calls:
            if name == "removed":
                assert record.delete()
            else:
                assert record.claim_aggregation("h", 5)
                assert record.finish(record.load(), "h", 60, {}) == "finished"
        assert max(len(call.touched) for call in calls) < MANY
        assert max(call.commands for call in calls) < 50
        left = set() if name == "removed" else {f"{PREFIX}job:finished"}
        assert keys_of(stage, name) == left


class _Died(Exception):
    pass


def _die_at(monkeypatch: pytest.MonkeyPatch, script: str, calls: int) -> None:
    """Simulates that the process dies instead of this call of a script."""
    left = [calls]

    def run(client: object, name: str, keys: list[str], args: list[object]) -> object:
        if name == script:
            left[0] -= 1
            if left[0] < 0:
                raise _Died
        return run_script(client, name, keys, args)

    monkeypatch.setattr("shared.store.record_part.run_script", run)


@pytest.mark.parametrize(("script", "calls"), [("sweep", 0), ("sweep", 2), ("end_delete", 0)])
@pytest.mark.parametrize("by", ["reconciler", "cancel", "create"])
def test_a_removal_that_is_cut_short_is_completed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, script: str, calls: int, by: str
) -> None:
    """A reconciler of any queues, the same command, or the creation of a job of that name completes it."""
    record, job = make_job(stage)
    make_many_blocks(stage, job, MANY)
    with monkeypatch.context() as patch, pytest.raises(_Died):
        _die_at(patch, script, calls)
        record.delete()
    assert record.load().state == "cancelled"
    assert stage.client.ttl(KEY) == -1
    if by == "reconciler":
        reconcile(stage)
    elif by == "cancel":
        cancel_job(stage.client, "j", stage.settings, mark_s=0)
    else:
        _, again = make_job(stage)
        assert again.uid != job.uid and again.state == "enqueuing"
    assert keys_of(stage) == ({KEY} if by == "create" else set())
    assert stage.client.zrange(REGISTRY, 0, -1) == ([b"j"] if by == "create" else [])


@pytest.mark.parametrize(("script", "calls"), [("sweep", 0), ("sweep", 2), ("close", 0)])
@pytest.mark.parametrize("by", ["reconciler", "aggregator", "retry", "prune"])
def test_a_finishing_that_is_cut_short_is_completed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, script: str, calls: int, by: str
) -> None:
    """Its record does not expire before its blocks are removed, and a retry never sees them."""
    record, job = make_job(stage)
    record.seal(job.uid, record.attach_producer(job.uid))
    make_many_blocks(stage, job, MANY)
    assert record.claim_aggregation("h", 5)
    with monkeypatch.context() as patch, pytest.raises(_Died):
        _die_at(patch, script, calls)
        record.finish(record.load(), "h", 60, {1: "b.jpg"})
    assert (record.load().state, stage.client.ttl(KEY)) == ("finished", -1)
    if by == "reconciler":
        reconcile(stage)
    elif by == "aggregator":
        assert record.finish(record.load(), "h", 60, {1: "b.jpg"}) == "finished"
    elif by == "retry":
        assert record.reopen(record.load()) == 1
    else:
        assert stage.producer("jobs", "--prune").returncode == 0
    assert keys_of(stage) == (set() if by == "prune" else {KEY, f"{KEY}:failed"})
    assert (stage.client.ttl(KEY) > 0) is (by in ("reconciler", "aggregator"))
    assert stage.client.zrange(UNFINISHED, 0, -1) == ([b":j"] if by == "retry" else [])


def test_a_new_job_waits_for_the_removal_of_the_old_one(stage: Stage) -> None:
    """The old blocks must not become the new job's."""
    make_job(stage)
    stage.client.hset(KEY, "state", "cancelled")
    keys = [KEY, REGISTRY, UNFINISHED, f"{KEY}:open"]
    assert run_script(stage.client, "create", keys, ["j", "new", ":j", "", "state", "enqueuing"]) == b"removing"
    assert stage.client.hget(KEY, "state") == b"cancelled"


def test_a_full_server_lets_jobs_be_removed_and_finished(stage: Stage) -> None:
    """Both free memory."""
    for name in ("j", "k"):
        record, job = make_job(stage, name)
        record.seal(job.uid, record.attach_producer(job.uid))
        make_many_blocks(stage, job, 300)
    stage.client.config_set("maxmemory", 1)
    assert record.claim_aggregation("h", 5)
    assert record.finish(record.load(), "h", 60, {}) == "finished"
    cancel_job(stage.client, "j", stage.settings)
    assert keys_of(stage) == {KEY} and 0 < stage.client.ttl(KEY) <= 60
    assert keys_of(stage, "k") == {f"{PREFIX}job:k"} and stage.client.ttl(f"{PREFIX}job:k") > 0


@pytest.mark.parametrize("command", ["cancel", "status", "watch", "aggregate", "retry"])
def test_a_name_that_is_part_of_another_jobs_keys_is_refused(stage: Stage, command: str) -> None:
    """`cancel j:batches` would otherwise damage the batches of job j."""
    record, job = make_job(stage)
    record.add_batch(job.uid, record.attach_producer(job.uid), 0, ["a.jpg"])
    done = stage.producer(command, "j:batches")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "'j:batches' cannot name a job" in done.stderr
    assert stage.client.ttl(f"{KEY}:batches") == -1
    with pytest.raises(InvalidRequest, match="cannot name a job"):
        JobRecord(stage.client, "j:batches")


def test_what_is_asked_again_is_answered_again(stage: Stage) -> None:
    """The answer to `add_batch` was lost and a worker has done the batch. The producer is not replaced."""
    record, job = make_job(stage)
    producer = record.attach_producer(job.uid)
    send = add_batch(record, job.uid, producer, 0, ["a.jpg"])
    again = record.resend(job.uid, 0, str(send))
    assert again is not None
    record.add_batch(job.uid, producer, 0, ["a.jpg"])
    record.take(job.uid, 0, again.send, "h", 5)
    assert record.commit(job.uid, 0, b"block", {"ok": 1}, 1) == "stored"
    record.add_batch(job.uid, producer, 0, ["a.jpg"])
    stands = record.load()
    assert (stands.batches, stands.images, record.open_batches()) == (1, 1, 0)
    assert record.take(job.uid, 0, send, "h", 5) == "done"
    assert add_batch(record, job.uid, producer, 1, ["b.jpg"]) == again.send + 1


def test_scripts_touch_only_keys_that_they_declare(stage: Stage) -> None:
    """A server that places or locks keys by declared keys must find all of them, over a job's whole life."""
    with recorded_scripts(connect(stage.settings)) as calls:
        record, job = make_job(stage)
        producer = record.attach_producer(job.uid)
        record.put_image(job.uid, producer, 0, "0.jpg", b"F")
        do_batch(record, job, 0, producer)
        record.put_image(job.uid, producer, 1, "1.jpg", b"F")
        record.add_batch(job.uid, producer, 1, ["1.jpg"])
        assert record.queue_up(job.uid, "embed") and record.prioritize(job.uid, Priority.HIGH, ["embed"]) == "changed"
        assert record.queue_up(job.uid, "embed")
        turn = next_turn(record._client, "embed")
        assert turn is not None
        sent = record.dispatch("embed", turn.priority)
        assert sent is not None
        send = sent.sent.send
        record.take(job.uid, 1, send, "h", 5)
        record.note_alone(1, "h", 0)
        lost = record.lose(job.uid, 1, "h", Verdict(Outcome.CRASHED, "x"))
        assert lost is not None
        record.find_unleased()
        again = record.resend(job.uid, 1, str(lost.send))
        assert again is not None
        record.take(job.uid, 1, again.send, "h", 5)
        record.renew(1, "h", 5)
        record.commit(job.uid, 1, b"block", {"crashed": 1}, 0, {"images:crashed": 1})
        record.seal(job.uid, producer)
        assert record.count_spilled(job.uid, 0, 5, "host", [0])
        reconcile(stage)
        record.claim_aggregation("h", 5)
        assert record.finish(record.load(), "h", 60, {1: "1.jpg"}) == "finished"
        assert record.reopen(record.load()) == 1
        do_batch(record, record.load(), 0, record.attach_producer(record.load().uid))
        cancel_job(stage.client, "j", stage.settings)
    assert len(calls) > 25
    for call in calls:
        assert call.touched <= set(call.declared), call.touched - set(call.declared)


def test_a_record_of_another_version_leaves_no_blocks(stage: Stage) -> None:
    """Such a record may not list them."""
    record, job = make_job(stage)
    make_many_blocks(stage, job, 300, images=1)
    stage.client.delete(*SWEPT)
    stage.client.hset(KEY, "version", "99")
    assert cancel_job(stage.client, "j", stage.settings, mark_s=0)
    assert keys_of(stage) == set()
    assert record.delete(replace(job)) is False
