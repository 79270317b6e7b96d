"""Renews the leases of this worker's processes, and ends them when the worker stops."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from shared.config.logs import get_logger
from shared.store.jobs import JobRecord
from shared.store.redis_client import Client
from worker.execution.active_tasks import ActiveTask, active_tasks

_log = get_logger("leases")


def renew_leases(client: Client, lease_s: float) -> None:
    """Renews the leases of all active batches and aggregations; tasks that are not of facequeue are ignored."""
    for task in active_tasks():
        with _guarded(task):
            if task.leased_batch is not None:
                JobRecord(client, task.job).renew(task.leased_batch, task.holder, lease_s)
            elif task.aggregates:
                JobRecord(client, task.job).renew_aggregation(task.holder, lease_s)


def end_leases(client: Client) -> None:
    """Ends the leases of batches that this worker leaves unfinished, so that another worker has them at once.

    The process that works on such a batch notices before its next image, and stops.
    """
    for task in active_tasks():
        with _guarded(task):
            if task.leased_batch is not None:
                JobRecord(client, task.job).give_back(task.leased_batch, task.holder)


@contextmanager
def _guarded(task: ActiveTask) -> Iterator[None]:
    """A damaged record costs the leases of other jobs nothing."""
    try:
        yield
    except redis.ResponseError as error:
        _log.warning("job %s, batch %s: %s", task.job, task.batch, error, extra={"action": "lease_failed"})
