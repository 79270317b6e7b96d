"""A Redis client that runs a function after one of its commands."""

from collections.abc import Callable
from typing import Any

import redis

from tests.support.stage import Stage


class InterruptedClient(redis.Redis):
    """Runs a function after a command, as if this process had been suspended there."""

    happens: Callable[[], object] | None = None
    commands_before = 0

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Executes the command, then perhaps the function."""
        answer = super().execute_command(*args, **options)
        if self.commands_before > 0:
            self.commands_before -= 1
            return answer
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()
        return answer


def interrupted(stage: Stage, happens: Callable[[], object], *, commands_before: int = 0) -> InterruptedClient:
    """A client of the stage's server that runs the function once, after its first or a later command."""
    client = InterruptedClient(connection_pool=stage.client.connection_pool)
    client.happens, client.commands_before = happens, commands_before
    return client
