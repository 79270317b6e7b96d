"""Refusing a message: one line in the log, and a dead letter."""

from functools import lru_cache

from shared.config.logs import get_logger
from shared.config.settings import get_settings
from shared.store.dead_letters import one_line, park
from shared.store.redis_client import Client, connect

_log = get_logger("refuse")
_TIMEOUT_S = 5.0  # the main process waits for it, and everything else with it


@lru_cache(maxsize=1)
def _client() -> Client:
    return connect(get_settings(), read_timeout_s=_TIMEOUT_S)


def refuse(where: str, reason: object, body: object) -> None:
    """Logs and parks a message that was taken out of a queue, or meant for a task; never raises."""
    where, why = one_line(where), one_line(str(reason))
    _log.error("%s message refused: %s", where, why, extra={"action": "message_refused"})
    park(_client(), where, why, body)
