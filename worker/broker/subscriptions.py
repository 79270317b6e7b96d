"""Consumes the queues of diverted jobs that this worker has not refused.

The main process looks them up every second, and at once when one of its child processes has refused a job.
"""

import threading
from collections.abc import Mapping
from typing import Any

from kombu import Queue  # type: ignore[attr-defined]

from shared.config.logs import get_logger
from shared.domain.queues import is_own_queue
from shared.store.diversion import diverted_queues
from shared.store.jobs import JobRecord
from shared.store.redis_client import Client

_log = get_logger("subscriptions")


class Subscriptions:
    """The queues of diverted jobs that this worker consumes in addition to the common queue."""

    def __init__(self, parent: Any, client: Client, queue_prefix: str, name: str, wake: threading.Event) -> None:
        """`parent` is Celery's worker. Setting `wake` triggers a lookup at once."""
        self._parent, self._client, self._prefix, self._name = parent, client, queue_prefix, name
        self._wake = wake
        self._refused: dict[str, str] = {}
        self._started = False

    @property
    def refused(self) -> dict[str, str]:
        """Reason by refused job, as of the last lookup."""
        return self._refused

    def step(self) -> None:
        """Looks the queues up once, and subscribes and unsubscribes accordingly."""
        self._wake.clear()
        wanted, refused = set(), {}
        for queue, job in diverted_queues(self._client, self._prefix).items():
            record = JobRecord(self._client, job)
            if not self._started:
                record.forget_refusal(
                    self._name
                )  # left by an earlier worker with this name, whose problem may be solved
            if record.undivert(queue):
                continue
            reason = record.refusal_of(self._name)
            if reason is None:
                wanted.add(queue)
            else:
                refused[job] = reason
        self._refused, self._started = refused, True
        self._consume(wanted)

    def _consume(self, wanted: set[str]) -> None:
        consumer = getattr(self._parent, "consumer", None)
        if consumer is None or getattr(consumer, "task_consumer", None) is None:
            return  # not connected just now
        active = {queue for queue in list(consumer.app.amqp.queues.consume_from) if is_own_queue(self._prefix, queue)}
        for queue in sorted(wanted - active):
            consumer.call_soon(_add, consumer, queue)
        for queue in sorted(active - wanted):
            consumer.call_soon(_cancel, consumer, queue)


def _add(consumer: Any, queue: str) -> None:
    """Subscribes to a queue. Runs in the consumer's own thread."""
    if consumer.task_consumer is not None:
        # Without an exchange, as in `send_batch`: an empty queue then leaves nothing on the server.
        consumer.app.amqp.queues.add(Queue(queue))  # type: ignore[no-untyped-call]
        consumer.add_task_queue(queue)


def _cancel(consumer: Any, queue: str) -> None:
    queues = consumer.app.amqp.queues
    if queue in queues.consume_from:
        if consumer.task_consumer is not None:
            consumer.cancel_task_queue(queue)
        queues.pop(queue, None)


def describe(refused: Mapping[str, str]) -> list[str]:
    """One line for each refused job."""
    return [f"{job}: {reason}" for job, reason in sorted(refused.items())]
