"""Writes files that a crash leaves whole: replaced under a new name, and synced to the disk."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file beside `path`, open for writing, that takes its name when the block ends, and is on the disk then.

    After an exception `path` is as it was before, and the new file is removed.
    """
    # A name that nobody can foresee, and `x`: never written through a link that somebody has put there.
    scratch = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(8)}")
    try:
        with scratch.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def replace_content(path: Path, content: bytes) -> None:
    """Gives the file this content, whole or not at all, as `replacing`."""
    with replacing(path) as file:
        file.write(content)


def sync_to_disk(path: Path) -> None:
    """Syncs a file's content, or a folder's list of names, to the disk. OSError as from the system."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync folders, and need not.
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)
