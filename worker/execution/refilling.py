"""Fills a queue again from which a message was taken."""

from collections.abc import Callable

import redis

from shared.config.logs import get_logger
from shared.messaging.celery_app import BrokerError

_log = get_logger("dispatch")


def refill(fill: Callable[[], object]) -> None:
    """Calls `fill`, whose failure does not concern the message at hand: the reconciler fills the queue later."""
    try:
        fill()
    except (redis.RedisError, BrokerError) as error:
        _log.warning("a queue is filled later: %s", error, extra={"action": "fill_put_off"})
