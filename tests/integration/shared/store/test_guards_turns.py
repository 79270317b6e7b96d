"""Whose batch is next: each rule and each refusal of the scripts that give jobs their turns (`shared.store.turns`)."""

import json
from collections import Counter
from dataclasses import replace

import pytest
import redis

from shared.domain.job import Job
from shared.domain.priority import Priority
from shared.store.foreign_keys import set_aside_foreign_keys
from shared.store.jobs import JobRecord
from shared.store.keys import TURNS, clock_key, job_key, processes_key, set_aside_key, turns_key
from shared.store.leases import Requeued
from shared.store.registry import drop_idle_queues
from shared.store.turns import Dispatched, Turn, count_waiting, lose_turn, next_turn, note_processes, without_turn
from tests.integration.conftest import LONG_S, FreshJob
from tests.support.jobs import make_job

OTHER = "0" * 32
"""A uid that no job has."""
HIGH, NORMAL, LOW = Priority
ENOUGH = 4
MANY = 300


def _waiting(fresh: FreshJob, name: str, priority: Priority = NORMAL, batches: int = MANY, size: int = 2) -> JobRecord:
    """A job with so many batches waiting, without its turn."""
    record, job = make_job(fresh.stage, name, priority)
    options = json.dumps(vars(replace(job.options, batch_size=size)))
    fresh.client.hset(job_key(name), "options", options)
    _add(fresh, job, batches)
    return record


def _add(fresh: FreshJob, job: Job, batches: int) -> None:
    """As `add_batch`, many at once."""
    numbers = range(job.batches, job.batches + batches)
    with fresh.client.pipeline() as pipe:
        pipe.hset(job_key(job.name, "batches"), mapping={str(batch): f'["{batch}.jpg"]' for batch in numbers})
        pipe.zadd(job_key(job.name, "open"), {str(batch): batch - 1e12 for batch in numbers})
        pipe.hset(job_key(job.name), "batches", job.batches + batches)
        pipe.execute()


def _in_line(fresh: FreshJob, name: str, priority: Priority = NORMAL, batches: int = MANY, size: int = 2) -> JobRecord:
    """The same job in line for the queue `embed`."""
    record = _waiting(fresh, name, priority, batches, size)
    assert record.queue_up(record.load().uid, "embed")
    return record


def _served(fresh: FreshJob, times: int) -> list[str]:
    """The names of the jobs whose batches are dispatched next."""
    names = []
    for _ in range(times):
        turn = next_turn(fresh.client, "embed")
        assert turn is not None and JobRecord(fresh.client, turn.job).dispatch("embed", turn.priority) is not None
        names.append(turn.job)
    return names


def _clock(fresh: FreshJob) -> dict[str, int]:
    return {name.decode(): int(time) for name, time in fresh.client.hgetall(clock_key("embed")).items()}


def _scores(fresh: FreshJob, priority: Priority = NORMAL) -> dict[str, float]:
    found = fresh.client.zrange(turns_key("embed", priority), 0, -1, withscores=True)
    return {name.decode(): score for name, score in found}


# The rule


def test_jobs_of_one_priority_take_turns(fresh: FreshJob) -> None:
    """Each gets the same number of images, whatever the size of its batches."""
    for name in ("a", "b"):
        _in_line(fresh, name)
    _in_line(fresh, "large", size=8)
    assert Counter(_served(fresh, 90)) == {"a": 40, "b": 40, "large": 10}


def test_a_job_that_joins_waits_for_one_round(fresh: FreshJob) -> None:
    """It neither waits for all that others have in line, nor gets all that they have had."""
    _in_line(fresh, "a")
    _in_line(fresh, "b")
    _served(fresh, 100)
    _in_line(fresh, "c", batches=50)
    assert "c" in _served(fresh, 3)
    assert Counter(_served(fresh, 30)) == {"a": 10, "b": 10, "c": 10}


def test_a_job_that_comes_again_has_had_what_it_had(fresh: FreshJob) -> None:
    """A producer that adds its batches one by one gets no more than the others."""
    _in_line(fresh, "b")
    _in_line(fresh, "c")
    record = _in_line(fresh, "a", batches=1)
    served = []
    for _ in range(60):
        served += _served(fresh, 1)
        job = record.load()
        if served[-1] == "a":
            _add(fresh, job, 1)
            assert record.queue_up(job.uid, "embed")
    assert Counter(served) == {"a": 20, "b": 20, "c": 20}


def test_a_job_that_was_alone_owes_nothing(fresh: FreshJob) -> None:
    """A job that comes while none is in line begins where that one was served last."""
    record = _in_line(fresh, "alone", batches=50)
    _served(fresh, 50)
    _in_line(fresh, "new", batches=50)
    _add(fresh, record.load(), 50)
    assert record.queue_up(record.load().uid, "embed")
    assert Counter(_served(fresh, 20)) == {"alone": 10, "new": 10}


def test_normal_jobs_beside_high_ones_get_a_tenth(fresh: FreshJob) -> None:
    """However many the high ones are, and also while low ones wait, which get a little."""
    for number in range(3):
        _in_line(fresh, f"high-{number}", HIGH)
    _in_line(fresh, "normal")
    with_high = Counter(_served(fresh, 280))
    assert with_high["normal"] == 30
    assert {name: with_high[name] for name in with_high if name != "normal"} == pytest.approx(
        dict.fromkeys(("high-0", "high-1", "high-2"), 83), abs=1
    )
    _in_line(fresh, "low", LOW)
    with_low = Counter(_served(fresh, 400))
    assert with_low["normal"] >= 40 and 3 <= with_low["low"] <= 5


def test_a_priority_is_owed_nothing_for_the_time_without_jobs(fresh: FreshJob) -> None:
    """Neither the one that comes late nor the one that was served alone meanwhile."""
    _in_line(fresh, "normal")
    _served(fresh, 100)
    _in_line(fresh, "high", HIGH, batches=100)
    assert Counter(_served(fresh, 28)) == {"high": 26, "normal": 2}
    served = Counter(_served(fresh, 110))
    assert served["high"] == 74  # all that it had
    _in_line(fresh, "again", HIGH)
    assert 2 <= Counter(_served(fresh, 28))["normal"] <= 4


@pytest.mark.parametrize(
    ("clock", "expected"), [({"now": 50, "normal": 100, "high": 1}, 50), ({"now": 50, "high": 500}, 500), ({}, None)]
)
def test_a_priority_joins_where_the_last_one_was(fresh: FreshJob, clock: dict[str, int], expected: int | None) -> None:
    """And its time does not run back."""
    fresh.client.delete(clock_key("embed"))
    if clock:
        fresh.client.hset(clock_key("embed"), mapping=clock)
    _in_line(fresh, "new", HIGH, batches=1)
    assert _clock(fresh).get("high") == expected
    fresh.client.hset(clock_key("embed"), "high", 3)
    _in_line(fresh, "second", HIGH, batches=1)  # the priority has joined already
    assert _clock(fresh)["high"] == 3


def test_of_equals_the_highest_priority_is_first(fresh: FreshJob) -> None:
    """And the one that has had least, if they are not equal."""
    for priority in (LOW, NORMAL, HIGH):
        _in_line(fresh, f"a-{priority}", priority, batches=1)
    assert next_turn(fresh.client, "embed") == Turn("a-high", HIGH, ENOUGH)
    fresh.client.hset(clock_key("embed"), mapping={"high": 2, "normal": 1, "low": 1})
    assert next_turn(fresh.client, "embed") == Turn("a-normal", NORMAL, ENOUGH)
    fresh.client.hset(clock_key("embed"), mapping={"low": 0})
    assert next_turn(fresh.client, "embed") == Turn("a-low", LOW, ENOUGH)


def test_after_a_clock_was_not_used_for_long_jobs_join_where_the_first_is(fresh: FreshJob) -> None:
    """The clock is gone then, and the jobs that wait keep their scores."""
    _in_line(fresh, "a", batches=1)
    fresh.client.zadd(turns_key("embed", NORMAL), {"a": 500})
    _in_line(fresh, "b", batches=1)
    assert _scores(fresh) == {"a": 500, "b": 500}
    assert fresh.client.ttl(clock_key("embed")) > 0 or _served(fresh, 1)
    assert 600_000 < fresh.client.ttl(clock_key("embed")) <= 7 * 86400


# next_turn


def test_a_queue_with_enough_messages_gets_none(fresh: FreshJob) -> None:
    """As many as processes serve it, and at least four."""
    _in_line(fresh, "a")
    fresh.client.lpush("embed", *range(ENOUGH - 1))
    assert next_turn(fresh.client, "embed") == Turn("a", NORMAL, 1)
    note_processes(fresh.client, "embed", 2)
    assert next_turn(fresh.client, "embed") == Turn("a", NORMAL, 1)
    note_processes(fresh.client, "embed", 9)
    assert next_turn(fresh.client, "embed") == Turn("a", NORMAL, 6)
    assert 0 < fresh.client.ttl(processes_key("embed")) <= 3600
    fresh.client.lpush("embed", *range(6))
    assert next_turn(fresh.client, "embed") is None


def test_without_batches_waiting_nobody_is_next(fresh: FreshJob) -> None:
    """Other queues do not count."""
    _in_line(fresh, "a")
    assert next_turn(fresh.client, "aggregate") is None
    assert next_turn(fresh.client, "other-embed") is None


# queue_up


def test_only_a_job_with_batches_waiting_has_a_turn(fresh: FreshJob) -> None:
    """Not one of another uid, not twice, and none for batches that were sent."""
    fresh.add()
    before = fresh.snapshot()
    assert not fresh.record.queue_up(fresh.uid, "embed")
    record = _waiting(fresh, "a")
    before = fresh.snapshot()
    assert not record.queue_up(OTHER, "embed")
    assert fresh.snapshot() == before
    assert record.queue_up(record.load().uid, "embed")
    _served(fresh, 3)
    before = fresh.snapshot()
    assert not record.queue_up(record.load().uid, "embed")
    assert fresh.snapshot() == before and _scores(fresh) == {"a": 6}


def test_a_priority_that_nobody_knows_gives_no_turn(fresh: FreshJob) -> None:
    """Another client has written to the record."""
    record = _waiting(fresh, "a")
    uid = record.load().uid
    fresh.client.hset(job_key("a"), "priority", "urgent")
    before = fresh.snapshot()
    assert not record.queue_up(uid, "embed")
    assert fresh.snapshot() == before


def test_a_record_of_before_priorities_is_normal(fresh: FreshJob) -> None:
    """An upgrade finds unfinished jobs without the field."""
    record = _waiting(fresh, "a")
    fresh.client.hdel(job_key("a"), "priority")
    assert record.load().priority == NORMAL
    assert record.queue_up(record.load().uid, "embed")
    assert _served(fresh, 1) == ["a"]


# dispatch


def test_batches_are_dispatched_in_order(fresh: FreshJob) -> None:
    """Each gets the next send number, and only then its message is taken. After the last one the job has no turn."""
    record = _in_line(fresh, "a", batches=12)
    uid = record.load().uid
    assert (record.find_unleased(), record.open_batches()) == ({}, 12)
    assert record.take(uid, 0, 1, "w/1", LONG_S) == "sent again"
    sent = [record.dispatch("embed", NORMAL) for _ in range(11)]
    assert sent == [Dispatched(uid, k, Requeued(k + 1, [f"{k}.jpg"]), "", False) for k in range(11)]
    assert record.find_unleased() == {k: str(k + 1) for k in range(11)}
    assert (_scores(fresh), next_turn(fresh.client, "embed")) == ({"a": 22}, Turn("a", NORMAL, ENOUGH))
    last = record.dispatch("embed", NORMAL)
    assert last is not None and last.batch == 11
    assert (_scores(fresh), next_turn(fresh.client, "embed")) == ({}, None)
    before = fresh.snapshot()
    assert record.dispatch("embed", NORMAL) is None
    assert fresh.snapshot() == before


def test_the_clock_does_not_run_back(fresh: FreshJob) -> None:
    """Two processes may dispatch batches of one job at once. Jobs that join later are not before the others."""
    record = _in_line(fresh, "a")
    other = _in_line(fresh, "b")
    for _ in range(3):
        assert record.dispatch("embed", NORMAL) is not None
    assert (_clock(fresh), _scores(fresh)) == ({"now": 100, "normal": 150, "normal:now": 4}, {"a": 6, "b": 0})
    assert other.dispatch("embed", NORMAL) is not None
    assert (_clock(fresh), _scores(fresh)) == ({"now": 150, "normal": 200, "normal:now": 4}, {"a": 6, "b": 2})
    fresh.client.hset(clock_key("embed"), "now", 900)
    assert other.dispatch("embed", NORMAL) is not None
    assert _clock(fresh)["now"] == 900


def test_a_diverted_jobs_messages_go_elsewhere(fresh: FreshJob) -> None:
    """But not those of a later life of the job, which was not diverted itself."""
    record = _in_line(fresh, "a")
    job = record.load()
    record.divert(job, 0, "w/1", "w", "no weights")
    sent = record.dispatch("embed", NORMAL)
    assert sent is not None and sent.diverted
    fresh.client.hset(job_key("a"), "diverted", OTHER)
    sent = record.dispatch("embed", NORMAL)
    assert sent is not None and not sent.diverted


def test_a_batch_added_after_the_last_turn_is_not_before_other_jobs(fresh: FreshJob) -> None:
    """Two processes found the job's turn, the first dispatched its last batch, and its producer added more."""
    _in_line(fresh, "b")
    record = _in_line(fresh, "a", batches=50)
    _served(fresh, 100)
    assert _scores(fresh) == {"b": 100}
    _add(fresh, record.load(), 20)
    assert record.dispatch("embed", NORMAL) is not None
    assert _scores(fresh) == {"a": 102, "b": 100}
    assert _waiting(fresh, "new").dispatch("embed", NORMAL) is not None
    assert _scores(fresh) == {"a": 102, "b": 100, "new": 102}


def test_a_turn_that_a_job_no_longer_has_is_removed(fresh: FreshJob) -> None:
    """Of another priority, and of a job that is cancelled or gone."""
    record = _waiting(fresh, "a")
    fresh.client.zadd(turns_key("embed", HIGH), {"a": 1, "gone": 2})
    assert record.dispatch("embed", HIGH) is None
    assert JobRecord(fresh.client, "gone").dispatch("embed", HIGH) is None
    assert _scores(fresh, HIGH) == {}
    assert record.queue_up(record.load().uid, "embed")
    record.delete()
    assert record.dispatch("embed", NORMAL) is None
    assert _scores(fresh) == {} and not fresh.client.exists(clock_key("embed"))


@pytest.mark.parametrize("despite_oom", [False, True])
def test_a_full_server_dispatches_for_workers_only(fresh: FreshJob, despite_oom: bool) -> None:
    """A producer sends nothing then, so the batch must go on waiting. What workers do frees memory."""
    record = _in_line(fresh, "a", batches=2)
    before = fresh.snapshot()
    fresh.client.config_set("maxmemory", 1)
    try:
        if despite_oom:
            sent = record.dispatch("embed", NORMAL, despite_oom=True)
            assert sent is not None and sent.batch == 0
            note_processes(fresh.client, "embed", 9)
        else:
            with pytest.raises(redis.OutOfMemoryError):
                record.dispatch("embed", NORMAL)
            assert fresh.snapshot() == before
    finally:
        fresh.client.config_set("maxmemory", 0)


# Tiles


def test_tiles_have_no_turn_in_the_queue_of_images(fresh: FreshJob) -> None:
    """A reconciler, or `prioritize`, read the job before its tiles were added; or an earlier turn was left there."""
    fresh.complete()
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    assert fresh.record.add_tiles(fresh.uid, "w/9", "a" * 32, 3) is None
    before = fresh.snapshot()
    assert not fresh.record.queue_up(fresh.uid, "embed")
    fresh.client.zadd(turns_key("embed", NORMAL), {fresh.record.name: 1})
    assert fresh.record.dispatch("embed", NORMAL) is None
    assert fresh.snapshot() == before
    assert fresh.record.queue_up(fresh.uid, "aggregate")


def test_tiles_have_turns_in_the_queue_of_aggregations(fresh: FreshJob) -> None:
    """Each counts as one. If one cannot be written, the others go on."""
    fresh.complete()
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    fresh.client.hset(fresh.key(), "turn", 500)  # in the other queue
    assert fresh.record.add_tiles(fresh.uid, "w/9", "a" * 32, 3) is None
    assert fresh.load().turns_queue == "aggregate"
    assert fresh.record.note_problem(fresh.uid, "disk full")
    assert fresh.record.queue_up(fresh.uid, "aggregate")
    assert fresh.record.dispatch("aggregate", NORMAL) == Dispatched(fresh.uid, 1, Requeued(2), "a" * 32, False)
    key = turns_key("aggregate", NORMAL)
    assert fresh.client.zrange(key, 0, -1, withscores=True) == [(b"j", 1)]
    assert fresh.client.hgetall(clock_key("aggregate")) == {b"now": b"0", b"normal": b"25", b"normal:now": b"0"}


# prioritize


def test_a_waiting_job_changes_its_priority(fresh: FreshJob) -> None:
    """It takes its turn among the others of that priority, whatever it has had among those of before."""
    _in_line(fresh, "a")
    record = _in_line(fresh, "b")
    uid = record.load().uid
    _served(fresh, 20)
    assert record.prioritize(uid, HIGH, ["aggregate", "embed"]) == "changed"
    assert (record.load().priority, _scores(fresh).keys()) == (HIGH, {"a"})
    assert record.queue_up(uid, "embed")
    assert _scores(fresh, HIGH) == {"b": 0}
    before = fresh.snapshot()
    assert record.prioritize(uid, HIGH, ["embed"]) == "same"
    assert record.prioritize(OTHER, LOW, ["embed"]) == "unknown"
    assert fresh.snapshot() == before
    assert Counter(_served(fresh, 28)) == {"b": 26, "a": 2}


def test_only_an_unfinished_job_has_a_priority(fresh: FreshJob) -> None:
    """While it is enqueued, and while it waits for workers or results."""
    assert fresh.record.prioritize(fresh.uid, NORMAL, ["embed"]) == "same"
    fresh.client.hdel(fresh.key(), "priority")
    assert fresh.record.prioritize(fresh.uid, NORMAL, ["embed"]) == "same"
    fresh.complete()
    assert fresh.record.prioritize(fresh.uid, LOW, ["embed"]) == "changed"
    assert fresh.finish() == "finished"
    before = fresh.snapshot()
    assert fresh.record.prioritize(fresh.uid, HIGH, ["embed"]) == "finished"
    assert fresh.snapshot() == before


# Keys that another program has written


def test_keys_of_another_type_are_set_aside(fresh: FreshJob) -> None:
    """For a week, each with its value; those of the right type stay, as do those that are not there."""
    _in_line(fresh, "a")
    _served(fresh, 1)
    note_processes(fresh.client, "embed", 3)
    before = fresh.snapshot()
    assert not set_aside_foreign_keys(fresh.client, "")
    assert fresh.snapshot() == before
    for key in (clock_key("aggregate"), turns_key("embed", HIGH)):
        fresh.client.set(key, key)
    assert set_aside_foreign_keys(fresh.client, "")
    for key in (clock_key("aggregate"), turns_key("embed", HIGH)):
        assert fresh.client.get(set_aside_key(key)) == key.encode()
        assert 604_000 < fresh.client.ttl(set_aside_key(key)) <= 604_800
        fresh.client.delete(set_aside_key(key))
    assert fresh.snapshot() == before


def test_a_full_server_sets_keys_aside(fresh: FreshJob) -> None:
    """Nothing would free its memory otherwise."""
    fresh.client.set(clock_key("embed"), "7")
    fresh.client.config_set("maxmemory", 1)
    try:
        assert next_turn(fresh.client, "embed") is None
    finally:
        fresh.client.config_set("maxmemory", 0)
    assert fresh.client.get(set_aside_key(clock_key("embed"))) == b"7"


def test_whoever_uses_turns_sets_keys_aside(fresh: FreshJob) -> None:
    """A producer does not have to wait for a reconciler; and a priority is changed once."""
    record = _waiting(fresh, "a", batches=2)
    uid = record.load().uid
    fresh.client.set(clock_key("embed"), "7")
    assert record.queue_up(uid, "embed")
    for key in (clock_key("embed"), turns_key("embed", NORMAL)):
        fresh.client.delete(key)
        fresh.client.set(key, "7")
    sent = record.dispatch("embed", NORMAL)
    assert sent is not None and sent.batch == 0
    assert count_waiting(fresh.client, "embed") == {HIGH: 0, NORMAL: 1, LOW: 0}
    fresh.client.delete(turns_key("embed", NORMAL))
    fresh.client.set(turns_key("embed", NORMAL), "7")
    assert count_waiting(fresh.client, "embed") == {HIGH: 0, NORMAL: 0, LOW: 0}
    assert record.prioritize(uid, HIGH, ["aggregate", "embed"]) == "changed"
    assert record.load().priority == HIGH
    fresh.client.set(job_key("a", "open"), "7")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        record.queue_up(uid, "embed")


def test_clocks_that_show_no_time_are_at_their_beginning(fresh: FreshJob) -> None:
    """And go on from there."""
    _in_line(fresh, "a", HIGH)
    fresh.client.hset(clock_key("embed"), mapping=dict.fromkeys(("now", HIGH, NORMAL, f"{NORMAL}:now"), "noon"))
    _in_line(fresh, "b")
    assert Counter(_served(fresh, 28)) == {"a": 25, "b": 3}
    assert _clock(fresh)["normal"] == 150


# Around the scripts


def test_jobs_without_their_turn_are_found(fresh: FreshJob) -> None:
    """Their producer died before it queued them up, or a turn was lost. Batches that were sent need none."""
    fresh.add()
    in_line, lost, damaged = _in_line(fresh, "line"), _waiting(fresh, "lost"), _waiting(fresh, "damaged")
    jobs = [record.load() for record in (fresh.record, in_line, lost, damaged)]
    fresh.client.set(job_key("damaged", "open"), "7")
    assert [job.name for job in without_turn(fresh.client, jobs)] == ["lost"]
    lose_turn(fresh.client, "embed", Turn("line", NORMAL, 1))
    assert [job.name for job in without_turn(fresh.client, jobs)] == ["line", "lost"]
    fresh.client.zadd(turns_key("embed", LOW), {b"\xff": 0})
    turn = next_turn(fresh.client, "embed")
    assert turn is not None and turn.priority == LOW
    lose_turn(fresh.client, "embed", turn)
    assert _scores(fresh, LOW) == {}


def test_batches_that_wait_are_counted_by_priority(fresh: FreshJob) -> None:
    """Those that were sent do not count, nor does a damaged record."""
    _in_line(fresh, "a", batches=5)
    _in_line(fresh, "b", batches=2)
    _in_line(fresh, "c", HIGH, batches=3)
    _in_line(fresh, "d", LOW, batches=3)
    fresh.client.set(job_key("d", "open"), "7")
    _served(fresh, 1)
    assert count_waiting(fresh.client, "embed") == {HIGH: 2, NORMAL: 7, LOW: 0}


def test_queues_that_nobody_serves_any_more_leave_no_turns(fresh: FreshJob) -> None:
    """Those of a `run` that was cancelled."""
    record = _in_line(fresh, "a", HIGH)
    _served(fresh, 1)
    note_processes(fresh.client, "embed", 9)
    record.delete()
    fresh.record.delete()
    assert drop_idle_queues(fresh.client, "")
    assert not [*fresh.client.scan_iter(f"{TURNS}*")]
