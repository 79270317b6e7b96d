"""A lock on an open file itself, for cases in which `filelock`, which needs a separate lock file, does not work.

The embedded server inherits the descriptor and with it the lock, which therefore lasts as long as the server. A spill
file must not be removed between a look at it and a write to it, and a lock file beside each spill file would never be
removed.
"""

import fcntl
import os
from pathlib import Path
from typing import IO


def try_lock(file: IO[bytes] | IO[str] | int, kind: int = fcntl.LOCK_EX) -> bool:
    """Locks an open file, or its descriptor, until every copy is closed; False if another process holds the lock."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(file: IO[bytes] | int) -> None:
    """Ends the lock for all copies. Closing the file is not enough: a process that was forked meanwhile has a copy."""
    fcntl.flock(file, fcntl.LOCK_UN)


def is_at(path: Path, file: IO[bytes] | IO[str]) -> bool:
    """Whether the path still refers to the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
