"""A client behind one of whose commands something happens."""

from collections.abc import Callable
from typing import Any

import redis

from tests.support.stage import Stage


class InterruptedClient(redis.Redis):
    """Lets something happen behind a command, as if this process had been stopped there for a while."""

    happens: Callable[[], object] | None = None
    commands_before = 0

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """As usual."""
        answer = super().execute_command(*args, **options)
        if self.commands_before > 0:
            self.commands_before -= 1
            return answer
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()
        return answer


def interrupted(stage: Stage, happens: Callable[[], object], *, commands_before: int = 0) -> InterruptedClient:
    """A client of the stage's server to which this happens once: behind its first command, or behind a later one."""
    client = InterruptedClient(connection_pool=stage.client.connection_pool)
    client.happens, client.commands_before = happens, commands_before
    return client
