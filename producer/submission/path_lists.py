"""Lists of paths: text with one path a line or with NUL after each, CSV and Parquet with a column `path`."""

import csv
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from shared.domain.errors import InvalidRequest

STANDARD_INPUT = "-"
_COLUMN = "path"
_CHUNK_BYTES = 1 << 16
"""At least one path of a NUL-separated list fits into it, so the first chunk shows which kind of list it is."""
_MOST_PATH_BYTES = 1 << 20
_ROWS_AT_ONCE = 10_000
_BOM = b"\xef\xbb\xbf"


def read_paths(name: str) -> Iterator[tuple[int, bytes]]:
    """Yields each path of a list with its line number (or row number), counted from 1. Empty lines are left out.

    The name decides on the kind: `.csv`, `.parquet`, otherwise text; `-` is text on standard input. A text with a NUL
    byte is separated by NUL, as `find -print0` writes it. InvalidRequest if the list cannot be read.
    """
    suffix = Path(name).suffix.lower()
    try:
        if suffix == ".csv":
            yield from _read_csv(name)
        elif suffix == ".parquet":
            yield from _read_parquet(name)
        else:
            with _opened(name) as file:
                yield from _read_text(name, file)
    except OSError as error:
        raise InvalidRequest(f"--files {name} cannot be read: {error.strerror or error}.") from None


def kept_entries(paths: IO[bytes]) -> Iterator[bytes]:
    """The entries of a file with NUL after each. Several threads may read it at once."""
    place, rest = 0, b""
    while chunk := os.pread(paths.fileno(), _CHUNK_BYTES, place):
        place += len(chunk)
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole


@contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    if name == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    with Path(name).open("rb") as file:
        yield file


def _read_text(name: str, file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    chunk = file.read(_CHUNK_BYTES).removeprefix(_BOM)
    separator = b"\0" if b"\0" in chunk else b"\n"
    number, rest = 0, b""
    while chunk:
        *whole, rest = (rest + chunk).split(separator)
        if len(rest) > _MOST_PATH_BYTES:
            raise InvalidRequest(f"--files {name}: entry {number + len(whole) + 1} is longer than a path can be.")
        for path in whole:
            number += 1
            yield from _entry(name, number, path, separator)
        chunk = file.read(_CHUNK_BYTES)
    yield from _entry(name, number + 1, rest, separator)


def _entry(name: str, number: int, path: bytes, separator: bytes) -> Iterator[tuple[int, bytes]]:
    if separator == b"\n":
        path = path.removesuffix(b"\r")
        if b"\0" in path:
            raise InvalidRequest(f"--files {name}: line {number} contains a NUL byte, which no path can.")
    if path:
        yield number, path


def _read_csv(name: str) -> Iterator[tuple[int, bytes]]:
    with Path(name).open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.DictReader(file)
        try:
            _check_columns(name, reader.fieldnames or [])
            for number, row in enumerate(reader, start=1):
                yield from _value(name, number, row[_COLUMN])
        except csv.Error as error:
            raise InvalidRequest(f"--files {name}: line {reader.line_num} is not CSV: {error}.") from None


def _read_parquet(name: str) -> Iterator[tuple[int, bytes]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InvalidRequest(
            f"--files {name} needs pyarrow: `pip install facequeue[parquet]`, or give the list as .csv or text."
        ) from None
    try:
        with parquet.ParquetFile(name) as file:
            _check_columns(name, file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[_COLUMN]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    yield from _value(name, number, value)
    except pyarrow.ArrowException as error:
        raise InvalidRequest(f"--files {name} is not a Parquet file: {str(error).splitlines()[0]}.") from None


def _check_columns(name: str, columns: Iterable[str]) -> None:
    found = list(columns)
    if _COLUMN not in found:
        shown = ", ".join(map(str, found[:10])) or "none"
        raise InvalidRequest(f"--files {name} has no column `{_COLUMN}`. Its columns: {shown}.")


def _value(name: str, number: int, value: Any) -> Iterator[tuple[int, bytes]]:
    if value is None or value == "":
        return
    if not isinstance(value, str | bytes):
        raise InvalidRequest(f"--files {name}: row {number} of the column `{_COLUMN}` is {type(value).__name__}.")
    path = os.fsencode(value)
    if b"\0" in path:
        raise InvalidRequest(f"--files {name}: the path in row {number} contains a NUL byte, which no path can.")
    yield number, path
