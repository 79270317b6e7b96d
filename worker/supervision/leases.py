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
    """Renews the leases of all active batches and aggregations. Tasks that are not of facequeue are ignored."""
    for task in active_tasks():
        with _guarded(task):
            if task.leased_batch is not None:
                job, batch = task.leased_batch
                JobRecord(client, job).renew(batch, task.holder, lease_s)
            elif task.aggregated_job is not None:
                JobRecord(client, task.aggregated_job).renew_aggregation(task.holder, lease_s)


def end_leases(client: Client) -> None:
    """Ends the leases of unfinished batches, so that another worker can take them at once.

    The process that runs such a batch notices before its next image, and stops.
    """
    for task in active_tasks():
        with _guarded(task):
            if task.leased_batch is not None:
                job, batch = task.leased_batch
                JobRecord(client, job).give_back(batch, task.holder)


@contextmanager
def _guarded(task: ActiveTask) -> Iterator[None]:
    """A damaged record costs other jobs no lease."""
    try:
        yield
    except redis.ResponseError as error:
        name = task.of.label if task.of is not None else task.aggregated_job
        job = task.of.job if task.of is not None else task.aggregated_job
        _log.warning("job %s: the lease is not renewed (%s)", name, error, extra={"action": "lease_failed", "job": job})
