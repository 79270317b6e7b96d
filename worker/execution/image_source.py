"""Reads inline images from the server, with the same outcomes as reading them from disk, and the status of files."""

import os
import time
from pathlib import Path

from shared.domain.errors import OutsideDataRoot
from shared.domain.file_status import FileStatus, settled
from shared.domain.image_formats import HEAD_BYTES
from shared.domain.outcomes import Outcome
from shared.domain.paths import RootPath, resolve_inside
from shared.store.image_payloads import TooLarge, unpack_image
from shared.store.redis_client import Client
from worker.vision.decode import ImageTrouble, Limits, check_file
from worker.vision.pipeline import NAMED_FOLDER, UNLISTED_FOLDER


def read_inline(client: Client, key: str, path: RootPath, limits: Limits) -> bytes:
    """The bytes of one image of a batch. `key` is the batch's hash on the server.

    Raises ImageTrouble, OSError or OutsideDataRoot, as reading from disk would.
    """
    try:
        data = unpack_image(client.hget(key, os.fsencode(path)))
    except TooLarge as large:
        check_file(path, large.head, large.size, limits)
        # This happens only if this worker's limit is above the producer's.
        raise ImageTrouble(
            Outcome.TOO_LARGE, f"file of {large.size / 2**20:.0f} MiB, more than its producer sends"
        ) from None
    except IsADirectoryError:
        raise ImageTrouble(Outcome.UNREADABLE, UNLISTED_FOLDER if path.endswith("/") else NAMED_FOLDER) from None
    check_file(path, data[:HEAD_BYTES], len(data), limits)
    return data


def read_status(root: Path, path: RootPath) -> FileStatus:
    """Size and time of a file below `root`, as recorded; those of the link if it leads nowhere or out of `root`."""
    try:
        try:
            found = resolve_inside(root, path).stat()
        except (OSError, OutsideDataRoot):
            found = (root / path).lstat()
    except OSError:
        return FileStatus()
    return settled(FileStatus(found.st_size, found.st_mtime_ns), time.time_ns())
