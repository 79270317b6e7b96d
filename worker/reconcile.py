"""Sends again what was lost: batches whose message or worker is gone, aggregations nobody is doing; removes old jobs.

First of all it makes room, as sending takes some.

Runs in every worker that consumes the aggregate queue, in one of them at a time.
"""

import time
from typing import Any

import redis

from shared.celery_app import send_aggregate, send_batch
from shared.job import PREFIX, Job, JobRecord, list_jobs
from shared.logs import get_logger
from shared.messages import Aggregate, EmbedBatch, task_id
from shared.server import Client, insist
from shared.settings import Settings
from shared.waiting import waiting_aggregations, waiting_tasks
from worker.relief import Relief

_log = get_logger("reconcile")
Suspect = tuple[str, int, str]
"""Job, batch, send number."""
Suspects = dict[Suspect, float]
_MOST_AGGREGATIONS = 5
_LOCK = f"{PREFIX}reconciler"


class Reconciler:
    """Looks through the unfinished jobs of this worker's queues."""

    def __init__(self, app: Any, client: Client, settings: Settings, name: str) -> None:
        self._app, self._client, self._settings, self._name = app, client, settings, name
        self._lock = f"{_LOCK}:{settings.queue_prefix}"
        # What was just popped looks lost until its worker takes it: only what looks so twice, a third of a lease apart,
        # is sent again. Value: when it was first seen so.
        self._suspects: Suspects = {}
        self._relief = Relief(client, settings)

    def step(self) -> bool:
        """One look; True where the next one should follow very soon."""
        if not self._is_elected():
            return False
        unfinished = []
        for job in list_jobs(self._client):
            if job.queue_prefix != self._settings.queue_prefix:
                continue
            if self._is_past_its_time(job):
                _log.info("job %s is past its time and removed", job.name, extra={"action": "job_expired"})
                JobRecord(self._client, job.name).delete()
            elif job.state in ("enqueuing", "sealed"):
                unfinished.append(job)
        hurry = self._relief.step(unfinished)
        suspects: Suspects = {}
        # Read before the records: what is sent meanwhile looks lost once, what is taken meanwhile is leased or looks so once.
        queues = {self._settings.embed_queue, *(job.embed_queue for job in unfinished)} if unfinished else set()
        waiting = {task for queue in sorted(queues) for task in waiting_tasks(self._client, queue)}
        to_aggregate = [job for job in unfinished if job.state == "sealed" and job.complete and job.problem is None]
        aggregations = waiting_aggregations(self._client, self._settings.aggregate_queue) if to_aggregate else set()
        try:
            for job in unfinished:
                self._send_lost_batches(job, waiting, suspects)
            for job in to_aggregate:
                if job.name not in aggregations:
                    self._send_lost_aggregation(job, suspects)
        except redis.OutOfMemoryError:
            # Nothing is lost by it: what could not be sent looks lost again.
            _log.warning("the server is full; lost messages are sent later", extra={"action": "resend_put_off"})
            suspects = self._suspects | suspects  # the jobs that had no turn keep their place
        self._suspects = suspects
        return hurry

    def resign(self) -> None:
        """Lets another take over at once."""
        if self._client.get(self._lock) == self._name.encode():
            self._client.delete(self._lock)

    def _is_elected(self) -> bool:
        lease_ms = int(self._settings.lease_s * 1000)
        if insist(self._client, "SET", self._lock, self._name, "NX", "PX", lease_ms):
            return True
        if self._client.get(self._lock) == self._name.encode():
            self._client.pexpire(self._lock, lease_ms)
            return True
        return False

    def _is_past_its_time(self, job: Job) -> bool:
        return time.time() * 1000 - job.updated_ms > self._settings.job_ttl_s * 1000

    def _send_lost_batches(self, job: Job, waiting: set[str], suspects: Suspects) -> None:
        record = JobRecord(self._client, job.name)
        for batch, send in record.find_unleased().items():
            if task_id(job.name, batch, send) in waiting or not self._is_lost((job.uid, batch, send), suspects):
                continue
            again = record.resend(job.uid, batch, send)
            if again is None:
                continue
            new_send, paths = again
            message = EmbedBatch(version=1, job=job.name, uid=job.uid, batch=batch, send=new_send, images=paths)
            send_batch(self._app, self._settings, record.embed_queue(), message, again=True)
            _log.warning("%s was lost and is sent again", message.describe(), extra={"action": "batch_resent"})

    def _is_lost(self, key: Suspect, suspects: Suspects) -> bool:
        now = time.monotonic()
        first_seen = self._suspects.get(key, now)
        if now - first_seen >= self._settings.lease_s / 3:
            return True
        suspects[key] = first_seen
        return False

    def _send_lost_aggregation(self, job: Job, suspects: Suspects) -> None:
        record = JobRecord(self._client, job.name)
        if record.aggregation_claimed() or not self._is_lost((job.uid, -1, "aggregation"), suspects):
            return
        if job.lost_aggregations >= _MOST_AGGREGATIONS:
            problem = (
                f"The aggregator died {_MOST_AGGREGATIONS} times while it wrote the results of job '{job.name}'; is "
                f"memory short? Its log says more. Then `python -m producer aggregate {job.name}`, or the same `run` again."
            )
            _log.error("%s", problem, extra={"action": "aggregation_given_up"})
            record.note_problem(job.uid, problem)
            return
        send_aggregate(self._app, self._settings.aggregate_queue, Aggregate(version=1, job=job.name, uid=job.uid))
        # After the sending, which a full server refuses: what was never sent counts against nobody.
        record.count_lost_aggregation(job.uid)
        _log.warning(
            "the aggregation of job %s was lost and is sent again", job.name, extra={"action": "aggregation_resent"}
        )
