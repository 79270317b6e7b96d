"""Arrays on disk, mapped into memory. Their disk space is reserved before anything is written."""

import errno
import os
from pathlib import Path

import numpy as np

from shared.domain.arrays import Float32

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_PORTION_BYTES = 2**20


def new_array(path: Path, shape: tuple[int, int]) -> Float32:
    """A writable float32 array of this shape in the new file `path` (`.npy`). OSError if the disk has no room for it.

    A sparse file gets its blocks only when they are written, and a full disk would then kill the process with SIGBUS.
    """
    if 0 in shape:  # an empty file cannot be mapped
        np.save(path, np.empty(shape, np.float32))
        return np.empty(shape, np.float32)
    array: np.memmap = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    with path.open("r+b") as file:
        _reserve(file.fileno(), array.offset, array.nbytes)
        os.fsync(file.fileno())  # network file systems report missing space only here
    return array


def _reserve(descriptor: int, offset: int, size: int) -> None:
    reserve = getattr(os, "posix_fallocate", None)  # macOS has none
    if reserve is not None:
        try:
            reserve(descriptor, offset, size)
            return
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
    write_zeros(descriptor, offset, size)


def write_zeros(descriptor: int, offset: int, size: int) -> None:
    """Fills `size` bytes from `offset` with zeros. OSError if the disk has no room for them."""
    zeros = bytes(min(size, _PORTION_BYTES))
    end = offset + size
    while offset < end:
        offset += os.pwrite(descriptor, zeros[: end - offset], offset)
