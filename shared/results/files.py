"""Writes to the disk what the system still holds back."""

import errno
import os
from pathlib import Path


def sync_to_disk(path: Path) -> None:
    """Returns when a file's content, or a folder's list of names, is on the disk. OSError as the system says it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems do not know this for folders, and need it the less.
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)
