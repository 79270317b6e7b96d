"""The candidates of one tile of the pair matrix in a file, with a digest of its content.

The bounds come first, with a digest of their own: other tiles need them alone, and they are a hundredth of the file.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from shared.analysis.candidates import Candidates
from shared.domain.durable_files import replacing
from shared.results.files import open_regular

_MAGIC = b"facequeue pairs2\n"
_HEADER_BYTES = 4096
_DIGEST_BYTES = 32
_PORTION_BYTES = 2**20


def write_candidates(path: Path, about: dict[str, Any], parts: list[Candidates]) -> None:
    """Writes the candidates of one or two blocks of faces. `about` says what they were computed from. Atomic: either
    the whole file is there or none of it. OSError as from the disk.
    """
    sizes = [(len(part), len(part.faces), part.error) for part in parts]
    header = _MAGIC + json.dumps({"about": about, "sizes": sizes}).encode()
    with replacing(path) as file:
        writer = _Hashed(file)
        writer.write(header.ljust(_HEADER_BYTES))
        for part in parts:
            writer.write(_bytes(part.bound))
        file.write(writer.digest())
        for part in parts:
            for array in (part.starts, part.faces, part.closeness):
                writer.write(_bytes(array))
        file.write(writer.digest())


def _bytes(array: npt.NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).view(np.uint8).data


class _Hashed:
    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash = file, hashlib.blake2b(digest_size=_DIGEST_BYTES)

    def write(self, content: bytes | memoryview) -> None:
        self._hash.update(content)
        self._file.write(content)

    def digest(self) -> bytes:
        return self._hash.digest()


def is_whole(path: Path, about: dict[str, Any]) -> bool:
    """Whether the file exists, was computed from this, and has the content that was written. Reads all of it."""
    try:
        with open_regular(path) as file:
            found, _ = _read_bounds(file, about)
            left = os.fstat(file.fileno()).st_size - file.tell() - _DIGEST_BYTES
            while left > 0 and (portion := file.read(min(left, _PORTION_BYTES))):
                found.update(portion)
                left -= len(portion)
            return left == 0 and file.read() == found.digest()
    except _DAMAGED:
        return False


def read_bounds(path: Path, about: dict[str, Any]) -> list[Candidates] | None:
    """What the file says of the bounds alone: `Candidates` without faces. None if it does not exist, was computed from
    something else, or has other bounds than were written.
    """
    try:
        with open_regular(path) as file:
            return _read_bounds(file, about)[1]
    except _DAMAGED:
        return None


def map_candidates(path: Path) -> list[Candidates]:
    """The candidates in a file that is whole, mapped into memory."""
    with open_regular(path) as file:
        sizes = _parse(file.read(_HEADER_BYTES))["sizes"]
        bounds, place = [], _HEADER_BYTES
        for rows, _, _ in sizes:
            bounds.append(_map(file, np.float32, place, rows))
            place += bounds[-1].nbytes
        place += _DIGEST_BYTES
        parts = []
        for bound, (rows, entries, error) in zip(bounds, sizes, strict=True):
            arrays = []
            for dtype, length in (np.int64, rows + 1), (np.int32, entries), (np.float32, entries):
                arrays.append(_map(file, dtype, place, length))
                place += arrays[-1].nbytes
            parts.append(Candidates(arrays[0], arrays[1], arrays[2], bound, error))
    return parts


def _map(file: BinaryIO, dtype: type[Any], place: int, length: int) -> npt.NDArray[Any]:
    return np.memmap(file, dtype, "r", place, (length,)) if length else np.empty(0, dtype)


def _read_bounds(file: BinaryIO, about: dict[str, Any]) -> tuple[Any, list[Candidates]]:
    """The hash of what was read so far, and the bounds."""
    head = file.read(_HEADER_BYTES)
    parsed = _parse(head)
    if parsed["about"] != about:
        raise ValueError("candidates of something else")
    found, parts = hashlib.blake2b(head, digest_size=_DIGEST_BYTES), []
    for rows, _, error in parsed["sizes"]:
        content = file.read(4 * rows)
        found.update(content)
        nothing = np.zeros(rows + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32)
        parts.append(Candidates(*nothing, np.frombuffer(content, np.float32), error))
    if file.read(_DIGEST_BYTES) != found.digest():
        raise ValueError("damaged")
    return found, parts


def _parse(head: bytes) -> Any:
    if not head.startswith(_MAGIC):
        raise ValueError("no candidates")
    return json.loads(head.removeprefix(_MAGIC))


_DAMAGED = (OSError, ValueError, LookupError, TypeError)
