"""Celery's set of active requests, as another thread changes it."""

from collections.abc import Iterator
from typing import Any


class ChangingRequests(list[Any]):
    """Requests of which another thread adds or removes one during the first readings, as a set says it."""

    changes = 3

    def __iter__(self) -> Iterator[Any]:
        for count, request in enumerate(super().__iter__()):
            if count and self.changes:
                self.changes -= 1
                raise RuntimeError("Set changed size during iteration")
            yield request
