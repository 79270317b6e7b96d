"""Inline images: images that travel through Redis to workers that share no disk with the producer.

The producer stores what it found at each path, the worker that leases the batch reads it, and the commit deletes it. If
the producer could not read a file, it stores the error instead, so that the worker records the same outcome as if it
had read the file itself.
"""

import errno
import os
from pathlib import Path

from shared.domain.errors import LinkedFolder, OutsideDataRoot
from shared.domain.image_formats import HEAD_BYTES
from shared.domain.paths import FolderPath, resolve_inside

_FILE, _LARGE, _ERROR, _FOLDER, _LINKED, _OUTSIDE = b"F", b"L", b"E", b"D", b"S", b"O"
_SIZE_BYTES = 8


class TooLarge(Exception):
    """A file that is too large to be sent whole."""

    def __init__(self, head: bytes, size: int) -> None:
        super().__init__(f"file of {size} bytes")
        self.head, self.size = head, size


def pack_image(root: Path, relative: FolderPath, max_bytes: int) -> bytes:
    """The file at a path below `root`, packed for the server. Of a file larger than `max_bytes`, only its head and
    size.
    """
    try:
        path = resolve_inside(root, relative)
        if path.is_dir():
            return _FOLDER
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > max_bytes:
                return _LARGE + size.to_bytes(_SIZE_BYTES, "big") + file.read(HEAD_BYTES)
            content = file.read(max_bytes + 1)
            if len(content) > max_bytes:  # it has grown since
                return _LARGE + os.fstat(file.fileno()).st_size.to_bytes(_SIZE_BYTES, "big") + content[:HEAD_BYTES]
            return _FILE + content
    except LinkedFolder:
        return _LINKED
    except OutsideDataRoot:
        return _OUTSIDE
    except OSError as error:
        return _ERROR + str(error.errno or errno.EIO).encode()


def unpack_image(packed: bytes | None) -> bytes:
    """The file's bytes. If the producer could not read the file, raises what reading it would raise: OSError,
    OutsideDataRoot, LinkedFolder or TooLarge.
    """
    kind, rest = (packed or b"")[:1], (packed or b"")[1:]
    if kind == _FILE:
        return rest
    if kind == _LARGE:
        raise TooLarge(rest[_SIZE_BYTES:], int.from_bytes(rest[:_SIZE_BYTES], "big"))
    if kind == _LINKED:
        raise LinkedFolder
    if kind == _OUTSIDE:
        raise OutsideDataRoot("leads out of the data root")
    if kind == _FOLDER:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    number = int(rest) if kind == _ERROR and rest.isdigit() else errno.EIO
    raise OSError(number, os.strerror(number) if packed else "its bytes are not on the server")
