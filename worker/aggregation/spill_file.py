"""The spool: one file beside the results that keeps a job's finished blocks when they are too many for the server.

A header names its owner. Then come frames, with the batches in any order: batch, length, the block's checksum, the
checksum of these three numbers, the block. The job record says how much of the file counts: what a crash left behind
that is never read, and is cut off before more is written.
"""

import fcntl
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shared.domain.errors import ResultsError
from shared.domain.paths import printable
from shared.results.files import open_regular, open_to_change, sync_to_disk

_MAGIC = b"facequeue spool1"
_HEADER = struct.Struct("<16s32s32s")
_HEAD = struct.Struct("<III")
_CHECK = struct.Struct("<I")
_FRAME_BYTES = _HEAD.size + _CHECK.size


@dataclass(frozen=True)
class Owner:
    """The job that a spool belongs to: a file of another server's job of the same name is never taken for ours."""

    server: str
    """Random name of the server's data, 32 hexadecimal digits."""
    uid: str
    """Of the job, 32 hexadecimal digits."""

    def header(self) -> bytes:
        """The first bytes of the file."""
        return _HEADER.pack(_MAGIC, self.server.encode(), self.uid.encode())


def read_owner(path: Path) -> Owner | None:
    """The owner of a spool; None if its header is incomplete, or if it is not a spool."""
    with open_regular(path) as file:
        head = file.read(_HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(_MAGIC):
        return None
    _, server, uid = _HEADER.unpack(head)
    return Owner(server.decode(errors="replace"), uid.decode(errors="replace"))


class Spool:
    """A job's spool, to be appended to by one process at a time, and to be read."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self.path, self._owner = path, owner

    @contextmanager
    def held(self) -> Iterator["SpoolWriter | None"]:
        """The file, locked and open for writing; None while another process holds it."""
        while True:
            with open_to_change(self.path, create=True) as file, _locked(file) as is_ours:
                if not is_ours:
                    yield None
                    return
                if not _is_at(self.path, file):  # removed before it was locked: what is written would be lost
                    continue
                yield SpoolWriter(self.path, self._owner, file)
                return

    @contextmanager
    def reading(self, counted: int) -> Iterator["SpoolReader"]:
        """The blocks in the first `counted` bytes. ResultsError if some are missing."""
        with open_regular(self.path) as file:
            yield SpoolReader(self.path, self._owner, file, counted)


def remove_if(path: Path, unwanted: Callable[[], bool]) -> None:
    """Removes a spool unless another process holds it, or it turns out to be wanted. OSError as from the disk.

    `unwanted` is called under the lock: nobody begins to write between the answer and the removal.
    """
    # Not only for reading: network file systems lock nothing else exclusively.
    with open_to_change(path) as file, _locked(file) as is_ours:
        if is_ours and _is_at(path, file) and unwanted():
            path.unlink()


@contextmanager
def _locked(file: BinaryIO) -> Iterator[bool]:
    """Whether this process has the file's lock, until the block ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
        return
    try:
        yield True
    finally:
        # Closing the file is not enough: a process that was forked meanwhile has it open too, and so the lock.
        fcntl.flock(file, fcntl.LOCK_UN)


def _is_at(path: Path, file: BinaryIO) -> bool:
    """Whether the path still leads to the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


class SpoolWriter:
    """Appends blocks while the lock on the file is held."""

    def __init__(self, path: Path, owner: Owner, file: BinaryIO) -> None:
        self._path, self._owner, self._file = path, owner, file

    def append(self, counted: int, blocks: Sequence[tuple[int, bytes]]) -> int:
        """Adds blocks after the first `counted` bytes, syncs them, and returns how many bytes count then."""
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


class SpoolReader:
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
        """The block of a batch that the spool holds. ResultsError if it is not as it was written."""
        at, length, checksum = self._places[batch]
        block = os.pread(self._file.fileno(), length, at)
        if len(block) != length or zlib.crc32(block) != checksum:
            raise _damaged(self._path, at)
        return block


def _damaged(path: Path, at: int) -> ResultsError:
    return ResultsError(
        f"The spool {printable(str(path))}, which alone holds finished blocks, is damaged or too short at byte {at}. "
        "Check the disk, then cancel the job and run it again."
    )
