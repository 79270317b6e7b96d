"""Rejects a message: logs one line and stores a dead letter."""

from shared.config.logs import get_logger
from shared.domain.text import one_line
from shared.store.dead_letters import park
from shared.store.redis_client import Client

_log = get_logger("rejection")


def reject_message(client: Client | None, where: str, reason: object, body: object) -> None:
    """Logs a message that came from a queue or was meant for a task, and stores it as a dead letter; never raises.

    Without a client, it is only logged.
    """
    where, why = one_line(where), one_line(str(reason))
    _log.error("%s message refused: %s", where, why, extra={"action": "message_refused"})
    if client is not None:
        park(client, where, why, body)
