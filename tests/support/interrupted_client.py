"""A client behind whose first command something happens."""

from collections.abc import Callable
from typing import Any

import redis

from tests.support.stage import Stage


class InterruptedClient(redis.Redis):
    """Lets something happen behind its first command, as if this process had been stopped there for a while."""

    happens: Callable[[], object] | None = None

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """As usual."""
        answer = super().execute_command(*args, **options)
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()
        return answer


def interrupted(stage: Stage, happens: Callable[[], object]) -> InterruptedClient:
    """A client of the stage's server to which this happens once."""
    client = InterruptedClient(connection_pool=stage.client.connection_pool)
    client.happens = happens
    return client
