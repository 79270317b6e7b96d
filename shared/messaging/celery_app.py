"""The Celery application of producer and worker. docs/architecture.md has the reasons for its settings."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from celery import Celery
from kombu import Queue  # type: ignore[attr-defined]
from kombu.exceptions import OperationalError

from shared.config.settings import Settings
from shared.domain.options import MOST_IMAGES
from shared.domain.task_ids import aggregate_task_id
from shared.messaging.messages import AGGREGATE_TASK, EMBED_TASK, PAIR_TILE_TASK, Aggregate, EmbedBatch, PairTile
from shared.tracing.spans import in_trace_of

BrokerError = OperationalError
"""The server refuses a message: it is unreachable or, if the cause is redis.OutOfMemoryError, out of memory."""
AGAIN = "again"
"""The header of a requeued message, which goes before all others in its queue."""


_TILE_LIMIT_S = 3600.0
SERVER_PATIENCE_S = 600.0
"""How long a worker keeps a result while the server is unreachable or out of memory."""


def make_celery(settings: Settings) -> Celery:
    """A Celery application for this server and these queues."""
    app = Celery("facequeue", set_as_current=False)
    app.conf.update(
        broker_url=settings.server_url,
        # No result backend: the job record holds the outcome of every batch, and ends with its job.
        task_ignore_result=True,
        accept_content=["json"],
        task_serializer="json",
        task_queues=[
            Queue(name)  # type: ignore[no-untyped-call]
            for name in (settings.embed_queue, settings.aggregate_queue)
        ],
        task_default_queue=settings.embed_queue,
        task_create_missing_queues=False,
        task_routes={
            EMBED_TASK: {"queue": settings.embed_queue},
            AGGREGATE_TASK: {"queue": settings.aggregate_queue},
            PAIR_TILE_TASK: {"queue": settings.aggregate_queue},
        },
        task_acks_late=True,
        task_reject_on_worker_lost=False,  # the reconciler requeues a lost batch with a new send number
        task_track_started=True,
        task_send_sent_event=True,
        worker_send_task_events=True,
        worker_prefetch_multiplier=1,
        # The default is 4 s. If loading the networks takes longer, every replacement of a crashed process would be
        # killed.
        worker_proc_alive_timeout=120,
        # A batch continues while the server is unreachable, and keeps its results (SERVER_PATIENCE_S). Its lease is
        # renewed when the server is back. If another process has leased the batch meanwhile, this one stops before its
        # next image. Commits are idempotent.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=30,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            # Only a second safety net: leases detect a lost batch in seconds. It must exceed every batch's hard limit,
            # or a batch would run twice.
            "visibility_timeout": int(2 * time_limit_s(MOST_IMAGES, settings)),
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "socket_keepalive": True,
            "socket_keepalive_options": _dead_after(),
            "health_check_interval": 25,
        },
    )
    return app


def _dead_after() -> dict[int, int]:
    """TCP options with which a connection to a machine that has died ends after a minute: Celery's own calls have no
    timeout, and the system would wait for a quarter of an hour, or hours.
    """
    options = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}
    return {getattr(socket, name): value for name, value in options.items() if hasattr(socket, name)}


def time_limit_s(images: int, settings: Settings) -> float:
    """The time after which the process of a batch is killed. It includes the time that a result may wait for the
    server.
    """
    return 60 + SERVER_PATIENCE_S + images * settings.image_timeout_s


@contextmanager
def _unwrapped_out_of_memory() -> Iterator[None]:
    """Raises redis.OutOfMemoryError if the server is out of memory, whatever kombu wraps it in."""
    try:
        yield
    except BrokerError as error:
        if isinstance(error.__cause__, redis.OutOfMemoryError):
            raise error.__cause__ from None
        raise


@contextmanager
def _publishing(message: EmbedBatch | Aggregate | PairTile) -> Iterator[None]:
    """Publishes in the trace of the message's job. Raises redis.OutOfMemoryError if the server is out of memory."""
    with in_trace_of(message.uid), _unwrapped_out_of_memory():
        yield


def send_batch(app: Celery, settings: Settings, queue: str, message: EmbedBatch, *, again: bool = False) -> None:
    """Publishes one batch. Its arguments are readable in Flower.

    A requeued batch (`again`) goes before all waiting ones (in workers: `worker.broker.transport`).
    """
    with _publishing(message):
        app.send_task(
            EMBED_TASK,
            kwargs={"message": message.model_dump(exclude_none=True)},
            task_id=message.task_id,
            queue=Queue(queue),  # type: ignore[no-untyped-call]  # may not be a queue that this process serves
            headers={AGAIN: True} if again else None,
            time_limit=time_limit_s(len(message.images), settings),
            argsrepr="",
            kwargsrepr=message.describe(),
            retry=False,
        )


def send_aggregate(app: Celery, queue: str, message: Aggregate) -> None:
    """Publishes the aggregation of a job. It runs once even if it is sent twice."""
    with _publishing(message):
        app.send_task(
            AGGREGATE_TASK,
            kwargs={"message": message.model_dump()},
            task_id=aggregate_task_id(message.job),
            queue=Queue(queue),  # type: ignore[no-untyped-call]  # may not be a queue that this process serves
            argsrepr="",
            kwargsrepr=message.describe(),
            retry=False,
        )


def send_tile(app: Celery, queue: str, message: PairTile, *, again: bool = False) -> None:
    """Publishes one tile of a pair matrix. With `again` it goes before all waiting messages, as in `send_batch`."""
    with _publishing(message):
        app.send_task(
            PAIR_TILE_TASK,
            kwargs={"message": message.model_dump()},
            task_id=message.task_id,
            queue=Queue(queue),  # type: ignore[no-untyped-call]  # may not be a queue that this process serves
            headers={AGAIN: True} if again else None,
            time_limit=_TILE_LIMIT_S + SERVER_PATIENCE_S,
            argsrepr="",
            kwargsrepr=message.describe(),
            retry=False,
        )
