"""Celery's set of active requests, changed by another thread."""

from collections.abc import Iterator
from typing import Any


class ChangingRequests(list[Any]):
    """A set of requests that another thread changes during the first iterations."""

    changes = 3

    def __iter__(self) -> Iterator[Any]:
        for count, request in enumerate(super().__iter__()):
            if count and self.changes:
                self.changes -= 1
                raise RuntimeError("Set changed size during iteration")
            yield request
