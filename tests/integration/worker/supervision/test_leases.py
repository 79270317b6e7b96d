"""Leases of running tasks are renewed, and ended with the worker, while the event loop changes the tasks."""

from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery.worker import state

from shared.messaging.messages import AGGREGATE_TASK, EMBED_TASK
from shared.store.keys import PREFIX, WORKERS
from shared.store.redis_client import server_time_ms
from tests.integration.conftest import LONG_S, FreshJob
from tests.support.changing_requests import ChangingRequests
from worker.execution.connections import Connections
from worker.supervision.background_threads import BackgroundThreads, MainProcess
from worker.supervision.leases import end_leases, renew_leases


def _in_work(monkeypatch: pytest.MonkeyPatch, *tasks: tuple[str, str]) -> None:
    requests = [SimpleNamespace(id=id_, name=name, hostname="w", worker_pid=1) for id_, name in tasks]
    monkeypatch.setattr(state, "active_requests", ChangingRequests(requests))


def test_all_leases_are_renewed_while_requests_come_and_go(fresh: FreshJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is renewed. A foreign task in between costs no lease."""
    for batch in range(2):
        fresh.take(batch, fresh.add(batch), lease_s=1)
    before = fresh.client.zrange(fresh.key("leases"), 0, -1, withscores=True)
    _in_work(monkeypatch, ("j:0:1", EMBED_TASK), ("../:0:1", EMBED_TASK), ("j:1:2", EMBED_TASK))
    renew_leases(fresh.client, LONG_S)
    after = dict(fresh.client.zrange(fresh.key("leases"), 0, -1, withscores=True))
    assert all(after[batch] > end + 1000 * LONG_S / 2 for batch, end in before)


def test_an_aggregators_claim_is_renewed(fresh: FreshJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Aggregations are in the same set of requests."""
    fresh.complete()
    assert fresh.record.claim_aggregation("w/1", 5)
    _in_work(monkeypatch, ("k:0:1", EMBED_TASK), ("j:aggregate:1", AGGREGATE_TASK))
    renew_leases(fresh.client, LONG_S)
    assert fresh.client.pttl(fresh.key("aggregation")) > 1000 * LONG_S / 2


def test_a_damaged_record_costs_other_leases_nothing(fresh: FreshJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds for the renewal and at the end."""
    fresh.take(0, fresh.add(), lease_s=1)
    before = fresh.client.zscore(fresh.key("leases"), "0")
    fresh.client.set(f"{PREFIX}job:damaged:holders", "7")
    _in_work(monkeypatch, ("damaged:0:1", EMBED_TASK), ("j:0:1", EMBED_TASK))
    renew_leases(fresh.client, LONG_S)
    assert fresh.client.zscore(fresh.key("leases"), "0") > before + 1000 * LONG_S / 2
    end_leases(fresh.client)
    assert fresh.client.zcard(fresh.key("leases")) == 0


def test_leases_are_renewed_though_the_worker_cannot_announce_itself(
    fresh: FreshJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of another type has the name of the workers' set."""
    fresh.take(0, fresh.add(), lease_s=1)
    fresh.client.set(WORKERS, "7")
    _in_work(monkeypatch, ("j:0:1", EMBED_TASK))
    settings = fresh.stage.settings.model_copy(update={"lease_s": LONG_S})
    models: Any = None
    sampler: Any = SimpleNamespace(latest=dict)
    parent = SimpleNamespace(hostname="w", concurrency=1)
    threads = BackgroundThreads.of(MainProcess(settings, Connections(settings), models))(parent)
    with pytest.raises(redis.ResponseError):
        threads._renew_and_announce(parent, ["embed"], sampler, 0)
    assert fresh.client.zscore(fresh.key("leases"), "0") > server_time_ms(fresh.client) + 1000 * LONG_S / 2


def test_a_worker_that_stops_gives_all_its_batches_back(fresh: FreshJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every lease is ended although requests change meanwhile. Another worker can lease the batches at once."""
    sends = [fresh.add(batch) for batch in range(2)]
    for batch, send in enumerate(sends):
        fresh.take(batch, send)
    _in_work(monkeypatch, ("j:0:1", EMBED_TASK), ("j:1:2", EMBED_TASK))
    end_leases(fresh.client)
    assert fresh.client.zcard(fresh.key("leases")) == 0
