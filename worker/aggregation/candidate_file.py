"""The candidates of one tile of the pair matrix in a file, with a digest of its content."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from shared.analysis.candidates import Candidates
from shared.domain.durable_files import replacing
from shared.results.files import open_regular

_MAGIC = b"facequeue pairs1\n"
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
            for array in (part.starts, part.faces, part.closeness, part.bound):
                writer.write(np.ascontiguousarray(array).view(np.uint8).data)
        file.write(writer.digest())


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
            left = os.fstat(file.fileno()).st_size - _DIGEST_BYTES
            found = hashlib.blake2b(digest_size=_DIGEST_BYTES)
            head = file.read(min(left, _HEADER_BYTES)) if left > 0 else b""
            if _parse(head)["about"] != about:
                return False
            found.update(head)
            left -= len(head)
            while left > 0 and (portion := file.read(min(left, _PORTION_BYTES))):
                found.update(portion)
                left -= len(portion)
            return file.read() == found.digest()
    except (OSError, ValueError, LookupError, TypeError):
        return False


def map_candidates(path: Path) -> list[Candidates]:
    """The candidates in a file that is whole, mapped into memory."""
    with open_regular(path) as file:
        sizes = _parse(file.read(_HEADER_BYTES))["sizes"]
        place, parts = _HEADER_BYTES, []
        for rows, entries, error in sizes:
            arrays = []
            lengths = (np.int64, rows + 1), (np.int32, entries), (np.float32, entries), (np.float32, rows)
            for dtype, length in lengths:
                kind = np.dtype(dtype)
                arrays.append(np.memmap(file, kind, "r", place, (length,)) if length else np.empty(0, kind))
                place += kind.itemsize * length
            parts.append(Candidates(arrays[0], arrays[1], arrays[2], arrays[3], error))
    return parts


def _parse(head: bytes) -> Any:
    if not head.startswith(_MAGIC):
        raise ValueError("no candidates")
    return json.loads(head.removeprefix(_MAGIC))
