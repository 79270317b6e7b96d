"""What this worker's processes have done and are doing, as its main process knows it."""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from celery.worker import state

_WINDOW_S = 60.0
_STORED = re.compile(r"['\"]?(stored|last): ")  # the task's answer, as Celery's tracer quotes it
_TRIES = 5


class Progress:
    """Images done, by process. Safe to use from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began = clock, clock()
        self._lock = threading.Lock()
        self._by_process: dict[int, int] = {}
        self._total = 0
        self._lately: deque[tuple[float, int]] = deque()

    def add(self, pid: int, images: int) -> None:
        """Counts images that this process has done just now."""
        with self._lock:
            self._by_process[pid] = self._by_process.get(pid, 0) + images
            self._total += images
            self._lately.append((self._clock(), images))

    @property
    def total(self) -> int:
        """Images that this worker has done, also by processes that have ended."""
        return self._total

    def of_process(self, pid: int) -> int:
        """Images that this process has done."""
        return self._by_process.get(pid, 0)

    def keep_only(self, pids: Collection[int]) -> None:
        """Forgets processes that have ended: their numbers will be those of others."""
        with self._lock:
            self._by_process = {pid: images for pid, images in self._by_process.items() if pid in pids}

    def images_per_s(self) -> float:
        """Over the last minute, or since this worker began where that is less."""
        now = self._clock()
        with self._lock:
            while self._lately and self._lately[0][0] < now - _WINDOW_S:
                self._lately.popleft()
            lately = sum(images for _, images in self._lately)
        return lately / max(1.0, min(_WINDOW_S, now - self._began))


PROGRESS = Progress()
"""Of this worker."""


def images_stored(answer: object, message: Any) -> int:
    """How many images a batch's task has committed, from its answer and its message; 0 where its block was not wanted."""
    if not isinstance(answer, str) or not _STORED.match(answer) or not isinstance(message, dict):
        return 0
    images = message.get("images")
    return len(images) if isinstance(images, list) else 0


def work_in_hand() -> dict[int, tuple[str, str]]:
    """Job and batch that each process works on just now; the aggregation of a job counts as its batch `aggregate`."""
    for _ in range(_TRIES):
        try:
            requests = list(state.active_requests)
        except RuntimeError:  # it was changed by another thread meanwhile
            continue
        found = {}
        for request in requests:
            job, _, rest = str(request.id).partition(":")
            if request.worker_pid is not None:
                found[int(request.worker_pid)] = (job, rest.partition(":")[0])
        return found
    return {}
