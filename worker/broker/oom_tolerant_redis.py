"""Celery's bookkeeping on a server that is out of memory: workers can start, and keep the messages that they have
taken.

kombu declares queues and records taken messages with commands that such a server refuses. Without this module a worker
would end and lose its message, and no worker could start to free memory. The messages that a worker sends are accepted
as well: they are few, and batches that are done free memory.
"""

from typing import Any

import redis
from kombu.transport import redis as transport
from redis.client import Pipeline

from shared.store.keys import NOTHING
from shared.store.redis_client import run_despite_oom

_REMOVE_NOTHING = f"redis.call('DEL', '{NOTHING}')\n"  # see `run_despite_oom`
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
    """A small transaction that succeeds even if the server is out of memory."""

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """As usual; if the server refuses the transaction for lack of memory, its commands run again as one script."""
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
    """The Redis client that kombu uses."""

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> OomTolerantPipeline:
        """A pipeline whose transactions also run on a server that is out of memory."""
        return OomTolerantPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    def register_script(self, script: Any) -> Any:
        """As usual, but the script also runs on a server that is out of memory; those of kombu write little."""
        return super().register_script(_REMOVE_NOTHING + script)

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        """As usual, also on a server that is out of memory."""
        try:
            return super().execute_command(*arguments, **options)
        except redis.OutOfMemoryError:
            return run_despite_oom(self, *arguments)


class OomTolerantChannel(transport.Channel):
    """kombu's channel with a client that tolerates a server without free memory."""

    def _get_client(self) -> type[redis.Redis]:
        return OomTolerantRedis
