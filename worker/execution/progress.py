"""Counts the images that this worker's processes have done, in the main process."""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection

_WINDOW_S = 60.0


class Progress:
    """The number of images done, by process. Safe to use from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._started = clock, clock()
        self._lock = threading.Lock()
        self._by_process: dict[int, int] = {}
        self._total = 0
        self._recent: deque[tuple[float, int]] = deque()

    def add(self, pid: int, images: int) -> None:
        """Counts images that this process has just done."""
        with self._lock:
            self._by_process[pid] = self._by_process.get(pid, 0) + images
            self._total += images
            self._recent.append((self._clock(), images))

    @property
    def total(self) -> int:
        """The number of images that this worker has done, including those of ended processes."""
        return self._total

    def of_process(self, pid: int) -> int:
        """The number of images that this process has done."""
        return self._by_process.get(pid, 0)

    def keep_only(self, pids: Collection[int]) -> None:
        """Removes ended processes: the system reuses their ids."""
        with self._lock:
            self._by_process = {pid: images for pid, images in self._by_process.items() if pid in pids}

    def images_per_s(self) -> float:
        """The speed over the last minute, or since this worker started if that is less."""
        now = self._clock()
        with self._lock:
            while self._recent and self._recent[0][0] < now - _WINDOW_S:
                self._recent.popleft()
            recent = sum(images for _, images in self._recent)
        return recent / max(1.0, min(_WINDOW_S, now - self._started))
