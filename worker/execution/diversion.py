"""Diverts a job that this worker cannot serve: records the reason, and forwards the job's messages to their own queue.

The other workers consume that queue (`worker.broker.subscriptions`). A job that no worker can serve waits there without
cost to other jobs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import redis
from celery import Celery

from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.domain.errors import ContractError, FaceQueueError, RecordUnreadable
from shared.domain.job import Job
from shared.domain.queues import embed_queue, own_queue
from shared.messaging.celery_app import BrokerError, send_batch
from shared.messaging.messages import EmbedBatch
from shared.store.jobs import JobRecord
from shared.store.redis_client import Client
from shared.store.refusals import Diverted
from shared.store.worker_registry import living_workers
from worker.answers import AnswerKind, TaskAnswer, not_wanted

_log = get_logger("diversion")
_RETRY_LEASES = 4  # a minute: after that the worker looks for a missing mount or missing weights again


@dataclass(frozen=True)
class _Unread:
    """A job whose record this worker cannot read."""

    name: str
    uid: str
    queue_prefix: str


def divert_unread(
    client: Client, app: Celery, settings: Settings, batch: EmbedBatch, worker: str, error: RecordUnreadable
) -> TaskAnswer:
    """Diverts a job whose record this worker cannot read: a worker of another version may. Returns the task's answer.

    The fields that this needs (`uid`, `state`) and the job's own queue are the same in all versions of the record.
    """
    job = _Unread(batch.job, batch.uid, settings.queue_prefix)
    record, reason = JobRecord(client, batch.job), str(error)
    is_known = record.refusal_of(worker) is not None
    again_s = _RETRY_LEASES * settings.lease_s  # it may be damaged, and be repaired
    noted = record.divert(job, batch.batch, worker, worker, reason, again_s=again_s)
    if noted is not Diverted.DIVERTED:
        return not_wanted(noted)
    if not is_known:
        _log.warning("%s does not serve job %s: %s", worker, job.name, reason, extra={"action": "job_refused"})
    return _send_to(app, settings, own_queue(job.queue_prefix, job.uid), batch, reason)


def _send_to(app: Celery, settings: Settings, queue: str, batch: EmbedBatch, reason: str) -> TaskAnswer:
    try:
        send_batch(app, settings, queue, batch)
    except (redis.RedisError, BrokerError) as error:
        # The batch is still open in the record: the reconciler sends it to that queue.
        _log.warning("%s is sent later: %s", batch.describe(), error, extra={"action": "pass_on_failed"})
    return TaskAnswer(kind=AnswerKind.REFUSED, reason=reason)


class Diversion:
    """One worker process's handling of one message of a diverted job."""

    def __init__(
        self, client: Client, app: Celery, settings: Settings, job: Job, batch: EmbedBatch, worker: str, holder: str
    ) -> None:
        self._client, self._app, self._settings, self._job, self._batch = client, app, settings, job, batch
        self._worker, self._holder = worker, holder
        self._record = JobRecord(client, job.name)

    def known_reason(self) -> str | None:
        """Why this worker refuses the job, if it has recorded that before."""
        return self._record.refusal_of(self._worker) if self._job.diverted else None

    def divert(self, error: FaceQueueError) -> TaskAnswer:
        """Records that this worker cannot serve the job, and forwards the message. Returns the task's answer."""
        return self._answer(self._note(error), error)

    def divert_unless_alone(self, error: FaceQueueError) -> TaskAnswer | None:
        """As `divert`; None, with nothing changed, if no other live worker may serve the job."""
        queue = embed_queue(self._job.queue_prefix)
        others = [worker.name for worker in living_workers(self._client, queue) if worker.name != self._worker]
        noted = self._note(error, unless_alone=True, others=others)
        return None if noted is Diverted.ALONE else self._answer(noted, error)

    def _note(self, error: FaceQueueError, *, unless_alone: bool = False, others: Sequence[str] = ()) -> Diverted:
        # A worker's runtime never changes; a mount or weights may appear later.
        again_s = 0.0 if isinstance(error, ContractError) else _RETRY_LEASES * self._settings.lease_s
        return self._record.divert(
            self._job,
            self._batch.batch,
            self._holder,
            self._worker,
            str(error),
            again_s=again_s,
            unless_alone=unless_alone,
            others=others,
        )

    def _answer(self, noted: Diverted, error: FaceQueueError) -> TaskAnswer:
        if noted is not Diverted.DIVERTED:
            return not_wanted(noted)
        _log.warning(
            "%s does not serve job %s: %s", self._worker, self._job.name, error, extra={"action": "job_refused"}
        )
        return self.forward(str(error))

    def forget(self) -> None:
        """Removes this worker's refusal: it can serve the job now."""
        if self._job.diverted:
            self._record.forget_refusal(self._worker)

    def forward(self, reason: str) -> TaskAnswer:
        """Puts the message into the job's own queue. Returns the task's answer."""
        if not self._record.waits_for(self._batch.batch, self._batch.send):
            return not_wanted("done, or sent again")
        queue = own_queue(self._job.queue_prefix, self._job.uid)
        return _send_to(self._app, self._settings, queue, self._batch, reason)
