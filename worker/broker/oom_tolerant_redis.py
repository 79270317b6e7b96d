"""Celery's bookkeeping on a full server: a worker can start there, and keeps hold of the messages it has taken.

kombu declares queues and notes taken messages with commands that a full server refuses; a worker would end with its message
lost, and none could start that makes room again. Only messages that are added are refused, and wait with their sender.
"""

from typing import Any

import redis
from kombu.transport import redis as transport
from redis.client import Pipeline

from shared.store.redis_client import NOTHING, insist

_ADDS_A_MESSAGE = ("LPUSH", "RPUSH")
_REMOVE_NOTHING = f"redis.call('DEL', '{NOTHING}')\n"  # see `insist`
# Runs "length, command, argument ..., length, ...".
_REPLAY = (
    _REMOVE_NOTHING
    + """
local k, answers = 1, {}
while k <= #ARGV do
  local length = tonumber(ARGV[k])
  answers[#answers + 1] = redis.call(unpack(ARGV, k + 1, k + length))
  k = k + 1 + length
end
return answers
"""
)


class OomTolerantPipeline(Pipeline):
    """A transaction that is small and has to be, whether the server is full or not."""

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """As usual; once more as a script where the server was full, which has refused the whole of it."""
        commands = [command for command, _ in self.command_stack]
        whole = vars(self)["transaction"] or self.explicit_transaction
        try:
            return super().execute(raise_on_error)
        except redis.OutOfMemoryError:
            if not whole:
                raise
            arguments = [part for command in commands for part in (len(command), *command)]
            answers: list[Any] = redis.Redis(connection_pool=self.connection_pool).eval(_REPLAY, 0, *arguments)
            return answers


class OomTolerantRedis(redis.Redis):
    """kombu's client."""

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> OomTolerantPipeline:
        """As usual, but for what it does when the server is full."""
        return OomTolerantPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    def register_script(self, script: Any) -> Any:
        """kombu's own scripts write little."""
        return super().register_script(_REMOVE_NOTHING + script)

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        """As usual; on a full server all but what adds a message."""
        try:
            return super().execute_command(*arguments, **options)
        except redis.OutOfMemoryError:
            if arguments[0] in _ADDS_A_MESSAGE:
                raise
            return insist(self, *arguments)


class OomTolerantChannel(transport.Channel):
    """kombu's channel, with that client."""

    def _get_client(self) -> type[redis.Redis]:
        return OomTolerantRedis
