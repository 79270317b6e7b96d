"""Dead letters: refused messages, kept on the server for inspection."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import redis

from shared.config.logs import get_logger
from shared.domain.text import one_line
from shared.store.keys import DEAD_LETTERS
from shared.store.redis_client import Client

MOST_LETTERS = 1000
MOST_BODY_CHARACTERS = 2000

_log = get_logger("dead_letters")


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """One refused message."""

    time: str
    """When it was refused, UTC, ISO 8601."""
    where: str
    """The queue it was in, or the task it was meant for."""
    reason: str
    body: str
    """The first characters of the message, with control characters and bytes that are not text escaped."""


def park(client: Client, where: str, reason: str, body: object) -> None:
    """Stores a refused message, newest first. If the server is unreachable or out of memory, the message is only
    logged.
    """
    letter = DeadLetter(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        where=one_line(where),
        reason=one_line(reason),
        body=one_line(body, MOST_BODY_CHARACTERS),
    )
    try:
        with client.pipeline() as pipe:
            pipe.lpush(DEAD_LETTERS, json.dumps(asdict(letter)))
            pipe.ltrim(DEAD_LETTERS, 0, MOST_LETTERS - 1)
            pipe.execute()
    except (redis.RedisError, OSError) as error:
        _log.warning(
            "a refused message of %s could not be stored as a dead letter: %s",
            letter.where,
            error,
            extra={"action": "not_parked"},
        )


def list_dead_letters(client: Client) -> list[DeadLetter]:
    """The dead letters, newest first."""
    return [_read(raw) for raw in client.lrange(DEAD_LETTERS, 0, MOST_LETTERS - 1)]


def count_dead_letters(client: Client) -> int:
    """The number of dead letters."""
    return int(client.llen(DEAD_LETTERS))


def clear_dead_letters(client: Client) -> int:
    """Deletes all dead letters and returns their number."""
    with client.pipeline() as pipe:
        pipe.llen(DEAD_LETTERS)
        pipe.delete(DEAD_LETTERS)
        return int(pipe.execute()[0])


def _read(raw: bytes) -> DeadLetter:
    try:
        values = json.loads(raw)
        return DeadLetter(**{name: one_line(value, MOST_BODY_CHARACTERS) for name, value in values.items()})
    # Written by another version or by hand: still worth showing.
    except (TypeError, ValueError, AttributeError, RecursionError):
        return DeadLetter(time="", where="", reason="", body=one_line(raw, MOST_BODY_CHARACTERS))
