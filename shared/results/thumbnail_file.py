"""The thumbnails that workers have cut, in one file of a results folder: an index by face, then the JPEGs.

They let a report, and that of a later update, be written without decoding the images again.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from shared.results.files import open_regular

_MAGIC = b"facequeue jpegs1"
_NUMBER = np.dtype("<u8")
_LONGEST, _FARTHEST = 2**20, 2**62
_JPEG_BEGINS = b"\xff\xd8\xff"


class ThumbnailWriter:
    """Writes the file, from the first face to the last. Without thumbnails there is no file."""

    def __init__(self, path: Path, faces: int) -> None:
        self._path, self._ends = path, np.zeros(faces + 1, _NUMBER)
        self._begin = len(_MAGIC) + _NUMBER.itemsize * (faces + 2)
        self._file = path.open("xb")
        self._file.seek(self._begin)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self._ends = np.maximum.accumulate(self._ends)
            self._file.seek(0)
            self._file.write(_MAGIC + _NUMBER.type(len(self._ends) - 1).tobytes() + self._ends.tobytes())
        self._file.close()
        if not self._ends[-1]:
            self._path.unlink()

    def add(self, face: int, jpeg: bytes) -> None:
        """Adds the thumbnail of a face; faces come in order."""
        self._file.write(jpeg)
        self._ends[face + 1] = self._file.tell() - self._begin


class ThumbnailFile(Mapping[int, bytes]):
    """The thumbnails by face, read on access. Of a damaged or foreign file, whatever is a JPEG."""

    def __init__(self, path: Path) -> None:
        """OSError or ValueError if there is no such file."""
        self._file = open_regular(path)
        head = self._file.read(len(_MAGIC) + _NUMBER.itemsize)
        faces = int.from_bytes(head[len(_MAGIC) :], "little")
        longest = os.fstat(self._file.fileno()).st_size // _NUMBER.itemsize
        ends = np.frombuffer(self._file.read(_NUMBER.itemsize * (min(faces, longest) + 1)), _NUMBER)
        if not head.startswith(_MAGIC) or len(ends) != faces + 1 or (ends[1:] < ends[:-1]).any():
            self._file.close()
            raise ValueError(f"{path.name} has no thumbnails")
        self._begin, self._ends = self._file.tell(), ends

    def __getitem__(self, face: int) -> bytes:
        if not 0 <= face < len(self._ends) - 1 or self._ends[face] == self._ends[face + 1]:
            raise KeyError(face)
        begin, length = self._begin + int(self._ends[face]), int(self._ends[face + 1] - self._ends[face])
        jpeg = os.pread(self._file.fileno(), min(length, _LONGEST), begin) if begin < _FARTHEST else b""
        if len(jpeg) != length or not jpeg.startswith(_JPEG_BEGINS):
            raise KeyError(face)
        return jpeg

    def __iter__(self) -> Iterator[int]:
        return map(int, np.flatnonzero(self._ends[1:] > self._ends[:-1]))

    def __len__(self) -> int:
        return int((self._ends[1:] > self._ends[:-1]).sum())


def thumbnails_in(path: Path) -> Mapping[int, bytes]:
    """The thumbnails in a file; none if it cannot be read."""
    try:
        return ThumbnailFile(path)
    except (OSError, ValueError):
        return {}
