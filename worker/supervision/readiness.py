"""Which processes of this worker have their networks loaded.

Each notes its process id in memory that all share: one place a process of the pool, so nobody waits for anybody, also not
for one that was killed. Where processes are not forked (macOS), nothing is shared and none counts as loaded.
"""

import mmap
import os
from collections.abc import Collection

from billiard.process import current_process

_PLACES = 1024
_pids = memoryview(mmap.mmap(-1, 4 * _PLACES)).cast("i")


def note_loaded() -> None:
    """Says that this process has its networks."""
    place = getattr(current_process(), "index", None)
    if isinstance(place, int) and 0 <= place < _PLACES:
        _pids[place] = os.getpid()


def count_loaded(pids: Collection[int]) -> int:
    """How many of these processes have said so."""
    return len(set(pids).intersection(_pids))
