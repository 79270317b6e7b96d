"""Retries calls that must reach the server: a computed result is kept until it can be stored."""

from collections.abc import Callable
from typing import TypeVar

import redis
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from shared.config.logs import get_logger
from shared.messaging.celery_app import SERVER_PATIENCE_S, BrokerError

T = TypeVar("T")
_log = get_logger("retrying")
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


def retry_until_stored(call: Callable[[], T]) -> T:
    """The result of `call`, repeated with backoff while the server is unreachable or out of memory.

    After `SERVER_PATIENCE_S` the last error is raised.
    """
    retrying = Retrying(
        retry=retry_if_exception_type((redis.ConnectionError, redis.TimeoutError, redis.OutOfMemoryError, BrokerError)),
        wait=wait_exponential(multiplier=_FIRST_PAUSE_S, max=_LONGEST_PAUSE_S),
        stop=stop_after_delay(SERVER_PATIENCE_S),
        before_sleep=_log_error,
        reraise=True,
    )
    return retrying(call)


def _log_error(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    _log.warning("the server does not take the result (%s); trying again", error, extra={"action": "server_wait"})
