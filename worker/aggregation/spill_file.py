"""The spool: one file beside the results that keeps a job's finished blocks when they are too many for the server.

A header says whose it is; then come frames, in any order of batches: batch, length, the block's checksum and that of these
three numbers, the block. How much of the
file counts is in the job record: what a crash has left behind that is never read, and cut off before more is written.
"""

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shared.domain.errors import ResultsError
from shared.domain.paths import printable
from shared.results.files import sync_to_disk

_MAGIC = b"facequeue spool1"
_HEADER = struct.Struct("<16s32s32s")
_HEAD = struct.Struct("<III")
_CHECK = struct.Struct("<I")
_FRAME_BYTES = _HEAD.size + _CHECK.size


@dataclass(frozen=True)
class Owner:
    """Whose spool it is: a file of another server's job of the same name is never taken for ours."""

    server: str
    """Random name of the server's data, 32 digits."""
    uid: str
    """Of the job, 32 digits."""

    def header(self) -> bytes:
        """What the file begins with."""
        return _HEADER.pack(_MAGIC, self.server.encode(), self.uid.encode())


def read_owner(path: Path) -> Owner | None:
    """Whose file it is; None where it was left before it had a whole header, or is no spool."""
    with path.open("rb") as file:
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
        """The file, open to be written; None while another process has it."""
        with self.path.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            yield SpoolWriter(self.path, self._owner, file)

    @contextmanager
    def reading(self, counted: int) -> Iterator["SpoolReader"]:
        """The blocks in the first `counted` bytes; ResultsError where they are not all there."""
        with self.path.open("rb") as file:
            yield SpoolReader(self.path, self._owner, file, counted)


class SpoolWriter:
    """Appends, as long as the lock on the file is held."""

    def __init__(self, path: Path, owner: Owner, file: BinaryIO) -> None:
        self._path, self._owner, self._file = path, owner, file

    def append(self, counted: int, blocks: Sequence[tuple[int, bytes]]) -> int:
        """Adds blocks behind the first `counted` bytes and returns how many count then; they are on the disk."""
        if self._file.seek(0, os.SEEK_END) < counted or (counted and read_owner(self._path) != self._owner):
            raise _damaged(self._path, counted)
        self._file.truncate(counted)
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
    """Knows where each block is."""

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
        """The block of a batch that the spool holds; ResultsError where it is not what was written."""
        at, length, checksum = self._places[batch]
        block = os.pread(self._file.fileno(), length, at)
        if len(block) != length or zlib.crc32(block) != checksum:
            raise _damaged(self._path, at)
        return block


def _damaged(path: Path, at: int) -> ResultsError:
    return ResultsError(
        f"The spool {printable(str(path))} is damaged or too short at byte {at}, and finished blocks are only there. Check the "
        "disk, then cancel the job and run it again."
    )
