"""Writes files atomically: a crash leaves the old file or the new one, and the new one is on the disk."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_NAME_BYTES = 128
"""How much of a file's name is in that of its scratch file: file systems allow 255 bytes."""


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Opens a new file beside `path` for writing. When the block ends, the file is synced to the disk and renamed to
    `path`.

    After an exception the new file is removed, and `path` is as it was before.
    """
    # An unpredictable name and mode `x`: it never writes through a link that somebody else has created.
    beginning = os.fsencode(path.name)[:_NAME_BYTES].decode(errors="ignore")
    scratch = path.with_name(f".{beginning}.{os.getpid()}-{secrets.token_hex(8)}")
    try:
        with scratch.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def replace_content(path: Path, content: bytes) -> None:
    """Replaces the file's content atomically, as `replacing` does."""
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
