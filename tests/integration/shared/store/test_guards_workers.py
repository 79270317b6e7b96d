"""Announcements of workers and queues of ended jobs, even if other processes act between two calls."""

import pytest

from shared.domain.queues import aggregate_queue, embed_queue
from shared.store.keys import UNFINISHED, WORKERS, worker_key
from shared.store.redis_client import connect
from shared.store.registry import drop_idle_queues
from shared.store.worker_registry import Worker, announce, living_workers, withdraw
from tests.integration.conftest import FreshJob
from tests.support.interrupted_client import interrupted
from tests.support.script_calls import recorded_scripts

LEASE_S = 100
ME = Worker("worker-1@host", ["embed"], 2, {})
PREFIX = "run-0123-"


def _names(fresh: FreshJob) -> list[str]:
    return [worker.name for worker in living_workers(fresh.client)]


def test_a_worker_is_alive_for_a_lease(fresh: FreshJob) -> None:
    """A worker that has not announced itself for longer is removed, as is one that withdraws."""
    announce(fresh.client, ME, LEASE_S)
    assert living_workers(fresh.client) == [ME]
    assert 0 < fresh.client.pttl(worker_key(ME.name)) <= LEASE_S * 1000
    fresh.client.delete(worker_key(ME.name))
    assert _names(fresh) == []
    assert not fresh.client.exists(WORKERS)
    announce(fresh.client, ME, LEASE_S)
    withdraw(fresh.client, ME.name)
    assert not fresh.client.exists(WORKERS, worker_key(ME.name))


@pytest.mark.parametrize("commands_before", range(4))
def test_a_worker_that_announces_itself_while_others_look_stays_known(fresh: FreshJob, commands_before: int) -> None:
    """Its announcement had expired. Without this, it would stay invisible until its next announcement."""
    fresh.client.sadd(WORKERS, ME.name)
    client = interrupted(fresh.stage, lambda: announce(fresh.client, ME, LEASE_S), commands_before=commands_before)
    living_workers(client)
    if client.happens is not None:  # it looked with fewer commands
        announce(fresh.client, ME, LEASE_S)
    assert _names(fresh) == [ME.name]


@pytest.mark.parametrize("commands_before", range(3))
def test_a_worker_is_not_forgotten_while_it_announces_itself(fresh: FreshJob, commands_before: int) -> None:
    """A reader in between must not treat the announcement as expired."""
    announce(interrupted(fresh.stage, lambda: _names(fresh), commands_before=commands_before), ME, LEASE_S)
    assert _names(fresh) == [ME.name]


def test_a_worker_announces_itself_to_a_full_server(fresh: FreshJob) -> None:
    """Otherwise commands that follow a job would report that no worker serves it."""
    announce(fresh.client, ME, LEASE_S)
    fresh.client.config_set("maxmemory", 1)
    try:
        fresh.client.pexpire(worker_key(ME.name), 50)
        announce(fresh.client, ME, LEASE_S)
        assert fresh.client.pttl(worker_key(ME.name)) > 50
        assert _names(fresh) == [ME.name]
    finally:
        fresh.client.config_set("maxmemory", 0)


def _fill_queues(fresh: FreshJob) -> tuple[str, str]:
    queues = embed_queue(PREFIX), aggregate_queue(PREFIX)
    for queue in queues:
        fresh.client.lpush(queue, "message")
    return queues


def test_queues_without_an_unfinished_job_are_removed(fresh: FreshJob) -> None:
    """Nobody serves the queues of a finished `run`. Jobs of other prefixes do not count."""
    queues = _fill_queues(fresh)
    neighbors = {f"{PREFIX[:-1]}:j": 0, f"{PREFIX};j": 0, f"{PREFIX}x:j": 0}
    fresh.client.zadd(UNFINISHED, neighbors)
    assert drop_idle_queues(fresh.client, PREFIX)
    assert fresh.client.exists(*queues) == 0
    assert fresh.client.zcard(UNFINISHED) >= len(neighbors)


def test_queues_of_an_unfinished_job_stay(fresh: FreshJob) -> None:
    """The queues may hold its messages."""
    queues = _fill_queues(fresh)
    fresh.client.zadd(UNFINISHED, {f"{PREFIX}:other": 0})
    assert not drop_idle_queues(fresh.client, PREFIX)
    assert fresh.client.exists(*queues) == 2


@pytest.mark.parametrize("commands_before", range(3))
def test_the_messages_of_a_job_that_begins_meanwhile_stay(fresh: FreshJob, commands_before: int) -> None:
    """If they were removed, the reconciler would have to requeue them."""

    def begin() -> None:
        fresh.client.zadd(UNFINISHED, {f"{PREFIX}:new": 0})
        fresh.client.lpush(embed_queue(PREFIX), "new")

    client = interrupted(fresh.stage, begin, commands_before=commands_before)
    drop_idle_queues(client, PREFIX)
    if client.happens is not None:  # it was done with fewer commands
        begin()
    assert fresh.client.lrange(embed_queue(PREFIX), 0, -1) == [b"new"]


def test_the_scripts_declare_their_keys(fresh: FreshJob) -> None:
    """A server that places or locks keys by declared keys must find all of them."""
    with recorded_scripts(connect(fresh.stage.settings)) as calls:
        announce(fresh.client, ME, LEASE_S)
        living_workers(fresh.client)
        fresh.client.delete(worker_key(ME.name))
        living_workers(fresh.client)
        drop_idle_queues(fresh.client, PREFIX)
    assert len(calls) == 4
    assert all(call.touched <= set(call.declared) for call in calls)
