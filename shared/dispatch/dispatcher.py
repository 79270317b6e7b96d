"""Keeps a few messages in a queue: those of the batches whose turn it is (`shared.store.turns`).

Producers do so when they have added a batch, worker processes when they have taken a message, and the reconciler in
each of its steps. Any of them may die in between: then the batch is requeued like one whose message was lost.
"""

import redis
from celery import Celery

from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.domain.errors import InvalidJobName
from shared.domain.queues import AGGREGATE, EMBED, own_queue
from shared.messaging.celery_app import BrokerError, send_batch, send_tile
from shared.messaging.messages import EmbedBatch, PairTile
from shared.store.jobs import JobRecord
from shared.store.leases import Requeued
from shared.store.redis_client import Client
from shared.store.turns import Turn, lose_turn, next_turn

_log = get_logger("dispatch")
_MOST = 100


class Dispatcher:
    """Fills the queues of one prefix."""

    def __init__(
        self, client: Client, app: Celery, settings: Settings, queue_prefix: str, *, despite_oom: bool = False
    ) -> None:
        """`despite_oom` is for workers, whose messages a server out of memory accepts."""
        self._client, self._app, self._settings = client, app, settings
        self._prefix, self._despite_oom = queue_prefix, despite_oom
        self._unsent: tuple[str, EmbedBatch | PairTile] | None = None  # the server went away before it had the message

    def fill_embed(self) -> None:
        """Sends messages of waiting batches until enough are in their queue."""
        self._fill(f"{self._prefix}{EMBED}")

    def fill_aggregate(self) -> None:
        """Sends messages of waiting tiles until enough are in their queue."""
        self._fill(f"{self._prefix}{AGGREGATE}")

    def _fill(self, queue: str) -> None:
        if self._unsent is not None:
            self._publish(*self._unsent)  # it may be there already: of two, the second is done when it is taken
        for _ in range(_MOST):  # messages of diverted jobs go elsewhere, and fill nothing
            turn = next_turn(self._client, queue)
            if turn is None or (self._send(queue, turn) and turn.lacking == 1):
                return

    def _send(self, queue: str, turn: Turn) -> bool:
        """Sends the message of the batch whose turn it is; False if it did not go into this queue."""
        try:
            record = JobRecord(self._client, turn.job)
            next_one = record.dispatch(queue, turn.priority, despite_oom=self._despite_oom)
            if next_one is None:
                return False
            message = message_of(turn.job, next_one.uid, next_one.batch, next_one.sent, next_one.stage)
        except redis.OutOfMemoryError:
            raise
        except (InvalidJobName, ValueError, redis.ResponseError) as error:
            # The reconciler reports a damaged record. It costs the other jobs nothing.
            lose_turn(self._client, queue, turn)
            _log.warning("job %s loses its turn: %s", turn.job, error, extra={"action": "turn_lost", "job": turn.job})
            return False
        goes_to = own_queue(self._prefix, next_one.uid) if next_one.diverted else queue
        self._publish(goes_to, message)
        return goes_to == queue

    def _publish(self, queue: str, message: EmbedBatch | PairTile) -> None:
        self._unsent = None
        try:
            send_message(self._app, self._settings, queue, message)
        except (BrokerError, redis.OutOfMemoryError) as error:
            if not isinstance(error.__cause__, redis.ResponseError):  # a queue of another type would stop all others
                self._unsent = queue, message
            raise


def message_of(job: str, uid: str, batch: int, sent: Requeued, stage: str) -> EmbedBatch | PairTile:
    """The message of a batch of images, or of a tile, as the job record has it. ValueError if it is damaged."""
    if not sent.images:
        return PairTile(version=1, job=job, uid=uid, batch=batch, send=sent.send, stage=stage)
    return EmbedBatch(
        version=1, job=job, uid=uid, batch=batch, send=sent.send, images=sent.images, stretch=sent.stretch
    )


def send_message(
    app: Celery, settings: Settings, queue: str, message: EmbedBatch | PairTile, *, again: bool = False
) -> None:
    """Publishes a batch or a tile. With `again` it goes before all waiting messages (in workers)."""
    if isinstance(message, PairTile):
        send_tile(app, queue, message, again=again)
    else:
        send_batch(app, settings, queue, message, again=again)
