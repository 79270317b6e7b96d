"""The Celery application that producer and worker share. The reasons are in docs/architecture.md."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from celery import Celery
from kombu import Queue  # type: ignore[attr-defined]
from kombu.exceptions import OperationalError

from shared.config.settings import Settings
from shared.domain.options import MOST_IMAGES
from shared.domain.task_ids import aggregate_task_id
from shared.messaging.messages import AGGREGATE_TASK, EMBED_TASK, Aggregate, EmbedBatch

BrokerError = OperationalError
"""The server takes no message: it is away, or (its cause is redis.OutOfMemoryError) full."""
AGAIN = "again"
"""The header of a message that goes before all others of its queue."""


SERVER_PATIENCE_S = 600.0
"""A worker keeps what it has computed for so long while the server is away or full."""


def make_celery(settings: Settings) -> Celery:
    """A Celery application for this server and these queues."""
    app = Celery("facequeue", set_as_current=False)
    app.conf.update(
        broker_url=settings.server_url,
        # No result backend: the job record holds what became of every batch, and outlives no job.
        task_ignore_result=True,
        accept_content=["json"],
        task_serializer="json",
        task_queues=[Queue(name) for name in (settings.embed_queue, settings.aggregate_queue)],  # type: ignore[no-untyped-call]
        task_default_queue=settings.embed_queue,
        task_create_missing_queues=False,
        task_routes={
            EMBED_TASK: {"queue": settings.embed_queue},
            AGGREGATE_TASK: {"queue": settings.aggregate_queue},
        },
        task_acks_late=True,
        task_reject_on_worker_lost=False,  # a lost batch is sent again by the job record, which counts
        task_track_started=True,
        task_send_sent_event=True,
        worker_send_task_events=True,
        worker_prefetch_multiplier=1,
        # 4 s by default, and longer loads would have every replacement of a crashed process killed for ever.
        worker_proc_alive_timeout=120,
        # A batch goes on while the server is away and keeps what it has computed (SERVER_PATIENCE_S). Its lease is
        # renewed when the server is back; if another has taken it over meanwhile, it stops before its next image, and
        # commits are idempotent.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=30,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            # Second net only: leases notice a lost batch in seconds. Above any batch's hard limit, else it runs twice.
            "visibility_timeout": int(2 * time_limit_s(MOST_IMAGES, settings)),
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "socket_keepalive": True,
            "health_check_interval": 25,
        },
    )
    return app


def time_limit_s(images: int, settings: Settings) -> float:
    """After this long a batch's process is ended. A server that takes no results for a while is no reason."""
    return 60 + SERVER_PATIENCE_S + images * settings.image_timeout_s


@contextmanager
def _full_server_is_told() -> Iterator[None]:
    """A full server is redis.OutOfMemoryError to the callers, in whatever kombu wraps it."""
    try:
        yield
    except BrokerError as error:
        if isinstance(error.__cause__, redis.OutOfMemoryError):
            raise error.__cause__ from None
        raise


@_full_server_is_told()
def send_batch(app: Celery, settings: Settings, queue: str, message: EmbedBatch, *, again: bool = False) -> None:
    """Publishes one batch, with arguments that a person can read in Flower.

    One that was lost goes `again`, before all that wait (in workers: `worker.broker.transport`).
    """
    app.send_task(
        EMBED_TASK,
        kwargs={"message": message.model_dump()},
        task_id=message.task_id,
        queue=Queue(queue),  # type: ignore[no-untyped-call]  # a job's may be another than this process serves
        headers={AGAIN: True} if again else None,
        time_limit=time_limit_s(len(message.images), settings),
        argsrepr="",
        kwargsrepr=message.describe(),
        retry=False,
    )


@_full_server_is_told()
def send_aggregate(app: Celery, queue: str, message: Aggregate) -> None:
    """Publishes the aggregation of a job. Sent twice, it is done once."""
    app.send_task(
        AGGREGATE_TASK,
        kwargs={"message": message.model_dump()},
        task_id=aggregate_task_id(message.job),
        queue=Queue(queue),  # type: ignore[no-untyped-call]  # a job's may be another than this process serves
        argsrepr="",
        kwargsrepr=message.describe(),
        retry=False,
    )
