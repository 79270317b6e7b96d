"""A table of a results folder whose rows are read in any order, and found by their text, without reading the others."""

import csv
import mmap
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.results.files import open_regular

_BLOCK_BYTES = 1 << 24


class RowTable:
    """A CSV file with one line per row. Memory: 8 bytes per line; the file is mapped."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        """Opens the file until `stack` ends. OSError as `open_regular`; ValueError for an empty file."""
        file = stack.enter_context(open_regular(path))
        self._name, self._bytes = path.name, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        stack.callback(self._bytes.close)
        self._ends = _line_ends(self._bytes)
        self._columns = self._fields(0, int(self._ends[0]))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, row: int) -> dict[str, str]:
        """The row's values by column. LookupError or ValueError if there is none, or a damaged one."""
        if not 0 <= row < len(self):
            raise LookupError(f"{self._name} has no row {row}")
        values = self._fields(int(self._ends[row]), int(self._ends[row + 1]))
        if len(values) != len(self._columns):
            raise ValueError(f"row {row} of {self._name} has {len(values)} fields instead of {len(self._columns)}")
        return dict(zip(self._columns, values, strict=True))

    def rows_with(self, column: str, text: str) -> list[int]:
        """The rows whose field is this text, in their order. The column is neither the first nor the last."""
        found = self._field(text)
        rows = {row for before, after in _ENCLOSURES for row in self._rows_of(before + found + after)}
        return [row for row in sorted(rows) if self[row].get(column) == text]

    def rows_ending(self, column: str, text: str) -> list[int]:
        """The rows whose field ends in this text, in their order. The column is not the last."""
        found = self._field(text)
        rows = {row for _, after in _ENCLOSURES for row in self._rows_of(found + after)}
        return [row for row in sorted(rows) if self[row].get(column, "").endswith(text)]

    def rows_containing(self, column: str, text: str, most: int) -> list[int]:
        """The first `most` rows whose field contains this text."""
        rows: list[int] = []
        for row in self._rows_of(self._field(text)):
            if len(rows) == most:
                break
            if row not in rows and text in self[row].get(column, ""):
                rows.append(row)
        return rows

    def _field(self, text: str) -> bytes:
        return text.replace('"', '""').encode(errors="surrogateescape")

    def _rows_of(self, content: bytes) -> Iterator[int]:
        begin, before = int(self._ends[0]) - 1, -1
        while begin < len(self._bytes):
            # In bytes: a search in a map is ten times slower.
            block = self._bytes[begin : begin + _BLOCK_BYTES + len(content) - 1]
            at = block.find(content)
            while at >= 0:
                row = int(np.searchsorted(self._ends, begin + at, side="right")) - 1
                if row != before:
                    yield row
                before, at = row, block.find(content, at + 1)
            begin += _BLOCK_BYTES

    def _fields(self, begin: int, end: int) -> list[str]:
        return next(csv.reader([self._bytes[begin:end].decode()]), [])


_ENCLOSURES = ((b",", b","), (b',"', b'",'))


def _line_ends(content: mmap.mmap) -> npt.NDArray[np.int64]:
    """Where each line ends: behind its newline."""
    found = []
    for begin in range(0, len(content), _BLOCK_BYTES):
        block = np.frombuffer(content[begin : begin + _BLOCK_BYTES], np.uint8)
        found.append(np.flatnonzero(block == ord("\n")) + (begin + 1))
    if content[-1:] != b"\n":
        found.append(np.array([len(content)]))
    return np.concatenate(found)
