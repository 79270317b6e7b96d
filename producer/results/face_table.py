"""All faces of a job in one table, with image, group and person, as CSV or JSON. Memory: a few bytes per face."""

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import Any

from producer.results.face_people import Named
from shared.analysis.people_groups import HIDDEN
from shared.config.standard_streams import data_to_standard_output
from shared.domain.durable_files import replacing
from shared.domain.errors import InvalidRequest, ResultsError
from shared.domain.paths import printable
from shared.results.distances import Faces
from shared.results.files import open_table
from shared.results.reader import reading, rows_of
from shared.results.schema import FACES, IMAGES

ADDED_COLUMNS = ("width", "height", "group", "person", "status")
"""Behind those of `faces.csv`."""
_WHOLE = frozenset({"face", "image", "width", "height", "group"})
_TEXT = frozenset({"path", "person", "status"})


class TableForm(Enum):
    """How a table is written."""

    CSV = auto()
    JSON = auto()
    """An array of objects."""
    JSON_LINES = auto()
    """One object a line."""


@dataclass(frozen=True)
class FaceTable:
    """What the table has of a job."""

    folder: Path
    groups: Faces | None
    """The number of each face's group, [n]; None if faces are not grouped."""
    people: Mapping[int, Named]
    """By row in `faces.csv`."""

    def columns(self) -> tuple[str, ...]:
        """Their names. Raises as `rows`."""
        with open_table(self.folder / FACES) as file:
            return (*next(csv.reader(file), []), *ADDED_COLUMNS)

    def rows(self) -> Iterator[list[str]]:
        """The faces in the order of `faces.csv`. Raises what `reading` explains."""
        columns = self.columns()[: -len(ADDED_COLUMNS)]
        texts = [place for place, column in enumerate(columns) if column == "path"]
        number = columns.index("image")
        sizes = rows_of(self.folder / IMAGES, "image", "width", "height")
        image: str | None = None
        size = ["", ""]
        for row, values in enumerate(rows_of(self.folder / FACES, *columns)):
            while values[number] != image:
                image, *size = _next_image(sizes)
            for place in texts:
                values[place] = printable(values[place])
            group = "" if self.groups is None or self.groups[row] == HIDDEN else str(self.groups[row])
            named = self.people.get(row)
            person = ["", ""] if named is None else [named.person, "confirmed" if named.confirmed else "suggested"]
            yield [*values, *size, group, *person]


def _next_image(sizes: Iterator[list[str]]) -> list[str]:
    for found in sizes:
        return found
    raise ValueError(f"{FACES} has a face of an image that {IMAGES} has not in this place")


def write_table(table: FaceTable, form: TableForm, target: Path | None, *, overwrite: bool = False) -> None:
    """Writes it to a file, whole or not at all, or to standard output. In UTF-8.

    InvalidRequest if the file is there and is not to be replaced; ResultsError if the results cannot be read, or the
    file cannot be written.
    """
    lines = _read(table, form)
    if target is None:
        with data_to_standard_output():
            sys.stdout.writelines(lines)
        return
    shown = printable(str(target))
    if not overwrite and os.path.lexists(target):
        raise InvalidRequest(f"{shown} is there already. --overwrite replaces it.")
    try:
        with replacing(target) as file:
            file.writelines(line.encode() for line in lines)
    except OSError as error:
        raise ResultsError(f"{shown} cannot be written: {error.strerror}. Fix that, or give another --to.") from None


def _read(table: FaceTable, form: TableForm) -> Iterator[str]:
    """The lines. What goes wrong with reading them, and not with writing, is about the results."""
    with reading(table.folder):
        yield from _LINES[form](table)


def _csv(table: FaceTable) -> Iterator[str]:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    for row in chain([table.columns()], table.rows()):
        writer.writerow(row)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _json(table: FaceTable) -> Iterator[str]:
    """An array, one object a line."""
    separator = "[\n"
    for found in _objects(table):
        yield separator + found
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def _json_lines(table: FaceTable) -> Iterator[str]:
    return (f"{found}\n" for found in _objects(table))


def _objects(table: FaceTable) -> Iterator[str]:
    columns = table.columns()
    for values in table.rows():
        found = {column: _value(column, value) for column, value in zip(columns, values, strict=True)}
        yield json.dumps(found, ensure_ascii=False)


_LINES = {TableForm.CSV: _csv, TableForm.JSON: _json, TableForm.JSON_LINES: _json_lines}


def _value(column: str, value: str) -> Any:
    """The field as JSON has it; None for an empty one."""
    if value == "":
        return None
    if column in _TEXT:
        return value
    try:
        number: Callable[[str], float] = int if column in _WHOLE else float
        found = number(value)
    except ValueError:
        return value
    return found if isfinite(found) else None
