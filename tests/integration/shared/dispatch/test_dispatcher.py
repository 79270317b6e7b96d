"""What a queue is filled with: few messages, of the batches whose turn it is."""

import pytest
import redis

from shared.dispatch.dispatcher import Dispatcher
from shared.domain.priority import Priority
from shared.domain.queues import own_queue
from shared.messaging.celery_app import BrokerError, make_celery
from shared.store.jobs import JobRecord
from shared.store.keys import clock_key, job_key, processes_key, set_aside_key, turns_key
from shared.store.turns import note_processes
from tests.integration.conftest import LONG_S, FreshJob
from tests.support.jobs import make_job
from tests.support.reconciling import make_reconciler, messages_in

pytestmark = pytest.mark.usefixtures("guarded_transport")


def _dispatcher(fresh: FreshJob) -> Dispatcher:
    return Dispatcher(fresh.client, make_celery(fresh.stage.settings), fresh.stage.settings, "")


def _in_line(fresh: FreshJob, name: str, batches: int, priority: Priority = Priority.NORMAL) -> JobRecord:
    record, job = make_job(fresh.stage, name, priority)
    producer = record.attach_producer(job.uid)
    for batch in range(batches):
        record.add_batch(job.uid, producer, batch, [f"{batch}.jpg"])
    assert record.queue_up(job.uid, "embed")
    return record


def _jobs_in(fresh: FreshJob, queue: str = "embed") -> list[object]:
    return [message["job"] for message in messages_in(fresh.stage, queue)]


def test_a_queue_holds_few_messages_of_all_jobs(fresh: FreshJob) -> None:
    """As many as processes serve it. Each message that is taken makes room for one."""
    record = _in_line(fresh, "a", 20)
    _in_line(fresh, "b", 20)
    dispatcher = _dispatcher(fresh)
    dispatcher.fill_embed()
    dispatcher.fill_aggregate()
    assert _jobs_in(fresh) == ["a", "b", "a", "b"]
    first = messages_in(fresh.stage)[0]
    uid = record.load().uid
    assert first == {"version": 1, "job": "a", "uid": uid, "batch": 0, "send": 1, "images": ["0.jpg"]}
    fresh.client.rpop("embed")
    dispatcher.fill_embed()
    dispatcher.fill_embed()
    assert _jobs_in(fresh) == ["b", "a", "b", "a"]
    note_processes(fresh.client, "embed", 6)
    dispatcher.fill_embed()
    assert _jobs_in(fresh) == ["b", "a", "b", "a", "b", "a"]


def test_a_message_that_the_server_did_not_take_is_sent_first(fresh: FreshJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """A producer tries again after a restart of the server. No reconciler is needed, and no lease has to end."""
    _in_line(fresh, "a", 3)
    dispatcher = _dispatcher(fresh)

    def away(*_: object, **__: object) -> None:
        raise BrokerError

    with monkeypatch.context() as patch, pytest.raises(BrokerError):
        patch.setattr("shared.dispatch.dispatcher.send_batch", away)
        dispatcher.fill_embed()
    assert _jobs_in(fresh) == []
    dispatcher.fill_embed()
    dispatcher.fill_embed()
    assert [message["batch"] for message in messages_in(fresh.stage)] == [0, 1, 2]


def test_a_queue_of_another_kind_stops_no_other(fresh: FreshJob) -> None:
    """A diverted job's own queue cannot take its messages: they are lost, and the others are sent."""
    record = _in_line(fresh, "a", 3)
    job = record.load()
    record.divert(job, 0, "w/1", "w", "no weights")
    fresh.client.set(own_queue("", job.uid), "no list")
    _in_line(fresh, "b", 3)
    dispatcher = _dispatcher(fresh)
    for _ in range(3):
        with pytest.raises((BrokerError, redis.ResponseError)):
            dispatcher.fill_embed()
    dispatcher.fill_embed()
    assert _jobs_in(fresh) == ["b", "b", "b"]


def test_a_urgent_job_is_next(fresh: FreshJob) -> None:
    """Its first message comes right behind those that are in the queue."""
    _in_line(fresh, "large", 100)
    dispatcher = _dispatcher(fresh)
    dispatcher.fill_embed()
    _in_line(fresh, "urgent", 3, Priority.HIGH)
    for _ in range(4):
        fresh.client.rpop("embed")
        dispatcher.fill_embed()
    assert _jobs_in(fresh)[:3] == ["urgent"] * 3


def test_messages_of_a_diverted_job_fill_nothing(fresh: FreshJob) -> None:
    """They go into its own queue, and the others get their messages."""
    stuck = _in_line(fresh, "stuck", 10)
    job = stuck.load()
    stuck.divert(job, 0, "w/1", "w", "no weights")
    _in_line(fresh, "other", 10)
    _dispatcher(fresh).fill_embed()
    assert _jobs_in(fresh) == ["other"] * 4
    assert set(_jobs_in(fresh, own_queue("", job.uid))) == {"stuck"}


@pytest.mark.parametrize("damage", ["images", "batch", "options", "kind", "name", "gone"])
def test_a_damaged_record_costs_the_others_nothing(fresh: FreshJob, damage: str) -> None:
    """It loses its turn, though it would be first."""
    record = _in_line(fresh, "damaged", 2)
    if damage == "images":
        fresh.client.hset(job_key("damaged", "batches"), "0", '["/etc/passwd"]')
    elif damage == "batch":
        fresh.client.delete(job_key("damaged", "open"))
        fresh.client.zadd(job_key("damaged", "open"), {"first": -7})
    elif damage == "options":
        fresh.client.hset(job_key("damaged"), "options", "no JSON")
    elif damage == "kind":
        fresh.client.set(job_key("damaged", "open"), "7")
    elif damage == "name":
        fresh.client.zadd(turns_key("embed", Priority.HIGH), {b"\xff:": -1})
    else:
        record.delete()
    _in_line(fresh, "other", 20)
    _dispatcher(fresh).fill_embed()
    assert [job for job in _jobs_in(fresh) if job == "other"]
    assert len(_jobs_in(fresh)) == 4
    assert not fresh.client.exists(turns_key("embed", Priority.HIGH))


@pytest.mark.parametrize("key", [clock_key("embed"), processes_key("embed"), turns_key("embed", Priority.HIGH)])
def test_a_key_of_another_kind_is_set_aside(fresh: FreshJob, key: str, caplog: pytest.LogCaptureFixture) -> None:
    """Another program has written there. One line says so, its value is kept for a week, and jobs go on."""
    _in_line(fresh, "a", 2)
    fresh.client.delete(key)
    fresh.client.rpush(key, "7")
    _dispatcher(fresh).fill_embed()
    assert _jobs_in(fresh) == ["a", "a"]
    aside = set_aside_key(key)
    assert fresh.client.lrange(aside, 0, -1) == [b"7"] and 0 < fresh.client.ttl(aside) <= 7 * 86_400
    (line,) = caplog.messages
    assert key in line and aside in line and "list" in line


def test_a_queue_that_is_none_is_named(fresh: FreshJob) -> None:
    """Its key is not one of facequeue's own names, so it is left alone; the error says what to do."""
    _in_line(fresh, "a", 2)
    fresh.client.set("embed", "7")
    with pytest.raises(redis.ResponseError, match=r"the key embed has the type string .* Remove it"):
        _dispatcher(fresh).fill_embed()
    assert fresh.client.get("embed") == b"7"


def test_the_reconciler_fills_queues_that_nobody_fills(fresh: FreshJob) -> None:
    """All processes died after they had taken messages, or the producer before it had sent one."""
    _in_line(fresh, "a", 20)
    record, job = make_job(fresh.stage, "died")
    record.add_batch(job.uid, record.attach_producer(job.uid), 0, ["a.jpg"])  # and no more
    reconciler = make_reconciler(fresh.stage, LONG_S)
    reconciler.step()
    assert sorted(map(str, _jobs_in(fresh))) == ["a", "a", "a", "died"]
    fresh.complete()
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    assert fresh.record.add_tiles(fresh.uid, "w/9", "a" * 32, 7) is None
    reconciler.step()
    tile = {"version": 1, "job": "j", "uid": fresh.uid, "batch": 1, "send": 2, "stage": "a" * 32}
    tiles = messages_in(fresh.stage, "aggregate")
    assert (len(tiles), tiles[0]) == (4, tile)


def test_a_worker_on_a_full_server_sends_what_frees_memory(fresh: FreshJob) -> None:
    """Otherwise nothing would be done any more, and nothing freed."""
    _in_line(fresh, "a", 20)
    settings = fresh.stage.settings
    fresh.client.config_set("maxmemory", 1)
    Dispatcher(fresh.client, make_celery(settings), settings, "", despite_oom=True).fill_embed()
    assert len(_jobs_in(fresh)) == 4
