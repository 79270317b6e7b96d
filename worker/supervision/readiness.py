"""Counts the processes of this worker that have loaded their networks.

Each process writes its id into its own place in shared memory, so there is no lock that a killed process could hold. If
processes are not forked (macOS), nothing is shared and no process counts as loaded.
"""

import mmap
import os
from collections.abc import Collection

from billiard.process import current_process

_PLACES = 1024


class LoadedProcesses:
    """The processes of one worker that have loaded their networks. Created before the fork, so that they inherit it."""

    def __init__(self) -> None:
        self._pids = memoryview(mmap.mmap(-1, 4 * _PLACES)).cast("i")

    def note_this(self) -> None:
        """Records that this process has loaded its networks."""
        place = getattr(current_process(), "index", None)
        if isinstance(place, int) and 0 <= place < _PLACES:
            self._pids[place] = os.getpid()

    def count(self, pids: Collection[int]) -> int:
        """The number of these processes that have loaded their networks."""
        return len(set(pids).intersection(self._pids))
