"""The spill file: one file beside the results, with the finished blocks of a job that are too many for the server.

A header names its owner. Frames follow, with the batches in any order: batch, length, the block's checksum, the
checksum of these three numbers, the block. The job record says how many bytes of the file count. Bytes beyond that were
left by a crash: they are never read, and are cut off before the next write.
"""

import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shared.domain.durable_files import sync_to_disk
from shared.domain.errors import ResultsError
from shared.domain.file_locks import is_at, try_lock, unlock
from shared.domain.paths import printable
from shared.results.files import open_regular, open_to_change

_MAGIC = b"facequeue spool1"
_HEADER = struct.Struct("<16s32s32s")
_HEAD = struct.Struct("<III")
_CHECK = struct.Struct("<I")
_FRAME_BYTES = _HEAD.size + _CHECK.size


@dataclass(frozen=True)
class Owner:
    """The job that a spill file belongs to. It tells the file from those of other servers' jobs with the same name."""

    server: str
    """The random name of the server's data, 32 hexadecimal digits."""
    uid: str
    """The job's uid, 32 hexadecimal digits."""

    def header(self) -> bytes:
        """The first bytes of the file."""
        return _HEADER.pack(_MAGIC, self.server.encode(), self.uid.encode())


def read_owner(path: Path) -> Owner | None:
    """The owner of a spill file; None if its header is incomplete, or if it is not a spill file."""
    with open_regular(path) as file:
        head = file.read(_HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(_MAGIC):
        return None
    _, server, uid = _HEADER.unpack(head)
    return Owner(server.decode(errors="replace"), uid.decode(errors="replace"))


class SpillFile:
    """A job's spill file. One process at a time appends to it; any process can read it."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self.path, self._owner = path, owner

    @contextmanager
    def held(self) -> Iterator["SpillWriter | None"]:
        """The file, locked and open for writing; None while another process holds it."""
        while True:
            with open_to_change(self.path, create=True) as file, _locked(file) as is_ours:
                if not is_ours:
                    yield None
                    return
                if not is_at(self.path, file):  # removed before it was locked: writes would be lost
                    continue
                yield SpillWriter(self.path, self._owner, file)
                return

    @contextmanager
    def reading(self, counted: int) -> Iterator["SpillReader"]:
        """The blocks in the first `counted` bytes. ResultsError if some are missing."""
        with open_regular(self.path) as file:
            yield SpillReader(self.path, self._owner, file, counted)


def remove_if(path: Path, unwanted: Callable[[], bool]) -> None:
    """Removes a spill file unless another process holds its lock, or `unwanted` returns False. OSError as from the
    disk.

    `unwanted` is called under the lock, so nobody starts to write between its answer and the removal.
    """
    # Opened for writing, because network file systems grant an exclusive lock only then.
    with open_to_change(path) as file, _locked(file) as is_ours:
        if is_ours and is_at(path, file) and unwanted():
            path.unlink()


@contextmanager
def _locked(file: BinaryIO) -> Iterator[bool]:
    """Whether this process has the file's lock, until the block ends."""
    if not try_lock(file):
        yield False
        return
    try:
        yield True
    finally:
        unlock(file)


class SpillWriter:
    """Appends blocks while the lock on the file is held."""

    def __init__(self, path: Path, owner: Owner, file: BinaryIO) -> None:
        self._path, self._owner, self._file = path, owner, file

    def append(self, counted: int, blocks: Sequence[tuple[int, bytes]]) -> int:
        """Adds blocks after the first `counted` bytes, syncs the file, and returns the new number of valid bytes."""
        if self._file.seek(0, os.SEEK_END) < counted or (counted and read_owner(self._path) != self._owner):
            raise _damaged(self._path, counted)
        self._file.truncate(counted)
        self._file.seek(counted)
        frames = [] if counted else [self._owner.header()]
        for batch, block in blocks:
            head = _HEAD.pack(batch, len(block), zlib.crc32(block))
            frames += [head, _CHECK.pack(zlib.crc32(head)), block]
        self._file.writelines(frames)
        self._file.flush()
        os.fsync(self._file.fileno())
        if not counted:
            sync_to_disk(self._path.parent)
        return counted + sum(map(len, frames))


class SpillReader:
    """Finds each block in the file."""

    def __init__(self, path: Path, owner: Owner, file: BinaryIO, counted: int) -> None:
        self._path, self._file = path, file
        if read_owner(path) != owner:
            raise _damaged(path, 0)
        self._places: dict[int, tuple[int, int, int]] = {}
        at = _HEADER.size
        while at < counted:
            frame = os.pread(file.fileno(), _FRAME_BYTES, at)
            head, check = frame[: _HEAD.size], frame[_HEAD.size :]
            if check != _CHECK.pack(zlib.crc32(head)):
                raise _damaged(path, at)
            batch, length, checksum = _HEAD.unpack(head)
            self._places[batch] = at + _FRAME_BYTES, length, checksum
            at += _FRAME_BYTES + length
        if at != counted:
            raise _damaged(path, counted)

    def __contains__(self, batch: int) -> bool:
        return batch in self._places

    def block(self, batch: int) -> bytes:
        """The block of a batch in the spill file. ResultsError if it has changed since it was written."""
        at, length, checksum = self._places[batch]
        block = os.pread(self._file.fileno(), length, at)
        if len(block) != length or zlib.crc32(block) != checksum:
            raise _damaged(self._path, at)
        return block


def _damaged(path: Path, at: int) -> ResultsError:
    return ResultsError(
        f"The spill file {printable(str(path))} is damaged or too short at byte {at}. It holds the only copy of "
        "finished blocks. Check the disk, then cancel the job and run it again."
    )
