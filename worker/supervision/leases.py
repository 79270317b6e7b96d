"""Renews the leases of this worker's processes, and ends them when the worker stops."""

from shared.store.jobs import JobRecord
from shared.store.redis_client import Client
from worker.execution.active_tasks import active_tasks


def renew_leases(client: Client, lease_s: float) -> None:
    """Renews the leases of all active batches and aggregations. Tasks that are not of facequeue are ignored."""
    for task in active_tasks():
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
        if task.leased_batch is not None:
            job, batch = task.leased_batch
            JobRecord(client, job).give_back(batch, task.holder)
