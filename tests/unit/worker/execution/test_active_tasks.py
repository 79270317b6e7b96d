"""The running tasks, read while Celery's event loop changes them."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state

from shared.messaging.messages import AGGREGATE_TASK, EMBED_TASK
from tests.support.changing_requests import ChangingRequests
from worker.execution.active_tasks import active_tasks


def _request(task_id: str, task: str = EMBED_TASK, pid: int | None = 7) -> Any:
    return SimpleNamespace(id=task_id, name=task, hostname="w@here", worker_pid=pid)


def test_a_change_during_the_reading_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The set is read again."""
    requests = ChangingRequests([_request("j:0:1"), _request("k:3:9", pid=8)])
    monkeypatch.setattr(state, "active_requests", requests)
    assert [(task.leased_batch, task.pid, task.holder) for task in active_tasks()] == [
        (("j", 0), 7, "w@here/7"),
        (("k", 3), 8, "w@here/8"),
    ]
    assert requests.changes == 0


@pytest.mark.parametrize(
    ("task_id", "task", "batch", "aggregates"),
    [
        ("j:12:5", EMBED_TASK, 12, False),
        ("j:aggregate:0a1b", AGGREGATE_TASK, None, True),
        ("j:12:5", AGGREGATE_TASK, None, True),
        ("j:x:5", EMBED_TASK, None, False),
        ("a/b:12:5", EMBED_TASK, None, False),
        ("no-id", EMBED_TASK, None, False),
        ("j:12:5", "celery.ping", None, False),
    ],
)
def test_only_our_tasks_hold_leases(task_id: str, task: str, batch: int | None, aggregates: bool) -> None:
    """A foreign id names no batch and no job."""
    (found,) = active_tasks([_request(task_id, task)])
    assert found.leased_batch == (None if batch is None else ("j", batch))
    assert found.aggregated_job == ("j" if aggregates else None)
