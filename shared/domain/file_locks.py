"""A lock on an open file. `filelock` serves where a file of its own can be the lock; here the file itself is.

The embedded server inherits the descriptor, and with it the lock, which therefore lasts as long as the server. A spool
must not be removed between a look at it and a write to it, and a lock file beside each would never be removed.
"""

import fcntl
from typing import IO


def try_lock(file: IO[bytes] | IO[str] | int) -> bool:
    """Locks an open file, or its descriptor, until it is closed everywhere; False while another holds the lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
