"""Reads and writes `people.csv`: corrections of groups and names of people, one a line (docs/people.md)."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from shared.domain.durable_files import replacing
from shared.domain.errors import InvalidRequest
from shared.domain.paths import ShownPath, printable
from shared.domain.text import one_line
from shared.results.corrections import Correction, FaceReference, Kind, check_box, person_name

if TYPE_CHECKING:
    from _csv import Reader

PEOPLE = "people.csv"
"""The usual name of the file."""
FACE_FIELDS = ("image", "face", "blake2b", "left", "top", "right", "bottom")
PEOPLE_COLUMNS = ("kind", *FACE_FIELDS, "person", *(f"other_{field}" for field in FACE_FIELDS))
MOST_BYTES = 256 << 20
MOST_ROWS = 1_000_000
_MOST_SHOWN = 60
_NEEDED = ("kind", "image")
_DIGEST_CHARACTERS = 32
_PAIRS = (Kind.SAME, Kind.DIFFERENT)


class PeopleFileUnreadable(InvalidRequest):
    """A file with corrections cannot be used."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{printable(str(path))} {reason}")


def read_people(path: Path) -> list[Correction]:
    """The corrections in the file, in its order. PeopleFileUnreadable names the first line that is not valid.

    Columns are found by name; those not in `PEOPLE_COLUMNS` are ignored, and so are empty lines.
    """
    found: list[Correction] = []
    name = printable(path.name)
    with _explained(path), _opened(path) as file:
        reader = csv.reader(file, strict=True)
        rows = _rows(reader, path)
        head = [name.strip() for name in next(rows, [])]
        if missing := [column for column in _NEEDED if column not in head]:
            raise PeopleFileUnreadable(
                path,
                f"has no column `{missing[0]}` in its first line. It has to be CSV with the columns "
                f"{', '.join(PEOPLE_COLUMNS)}.",
            )
        if twice := [column for column in PEOPLE_COLUMNS if head.count(column) > 1]:
            raise PeopleFileUnreadable(path, f"has the column `{twice[0]}` twice. Remove one.")
        for fields in rows:
            if not any(fields):
                continue
            if len(found) == MOST_ROWS:
                raise PeopleFileUnreadable(path, f"has more than {MOST_ROWS:,} rows. Split it.")
            try:
                if len(fields) != len(head):
                    raise ValueError(f"{len(fields)} fields, and the first line has {len(head)}")
                found.append(_correction(dict(zip(head, fields, strict=True)), f"{name}, line {reader.line_num}"))
            except ValueError as error:
                raise PeopleFileUnreadable(
                    path, f"line {reader.line_num}: {one_line(str(error))}. Correct the line or remove it."
                ) from None
    return found


def write_people(path: Path, corrections: Iterable[Correction]) -> None:
    """Writes the file whole or not at all. OSError as from the system."""
    with replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(PEOPLE_COLUMNS)
        rows.writerows(map(row_of, corrections))
        text.flush()
        text.detach()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PeopleFileUnreadable(path, f"cannot be read: {error.strerror}. Give another file.") from None
    except UnicodeDecodeError:
        raise PeopleFileUnreadable(path, "is no UTF-8 text. Save it as CSV in UTF-8.") from None


def _opened(path: Path) -> TextIO:
    if path.exists() and not path.is_file():  # a pipe would block
        raise PeopleFileUnreadable(path, "is no file. Give a CSV file.")
    if (size := path.stat().st_size) > MOST_BYTES:
        raise PeopleFileUnreadable(path, f"has {size:,} bytes, and {MOST_BYTES:,} are allowed. Split it.")
    # Spreadsheet programs begin UTF-8 with a byte order mark.
    return path.open(encoding="utf-8-sig", newline="")


def _rows(reader: "Reader", path: Path) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise PeopleFileUnreadable(path, f"line {reader.line_num}: no CSV ({error}). Correct the line.") from None


def _correction(row: Mapping[str, str], origin: str) -> Correction:
    try:
        kind = Kind(row["kind"].strip())
    except ValueError:
        kinds = ", ".join(Kind)
        raise ValueError(f"the kind is `{printable(row['kind'])[:_MOST_SHOWN]}`, and not one of {kinds}") from None
    face = _face(row, "")
    person = row.get("person", "")
    named = person_name(person) if kind is Kind.PERSON else ""
    if kind is not Kind.PERSON and person.strip():
        raise ValueError(f"it names a person, and the kind is `{kind}` and not `person`")
    if kind not in _PAIRS:
        if any(row.get(f"other_{field}", "").strip() for field in FACE_FIELDS):
            raise ValueError(f"it has a second face (`other_...`), and the kind `{kind}` is about one")
        return Correction(kind, face, named, None, origin)
    return Correction(kind, face, named, _face(row, "other_"), origin)


def _face(row: Mapping[str, str], prefix: str) -> FaceReference:
    image, number, digest, *sides = (row.get(f"{prefix}{field}", "") for field in FACE_FIELDS)
    if not image:
        raise ValueError(f"`{prefix}image` is empty")
    digest, number = digest.strip().lower(), number.strip()
    if digest and not (len(digest) == _DIGEST_CHARACTERS and set(digest) <= set("0123456789abcdef")):
        raise ValueError(f"`{prefix}blake2b` is not {_DIGEST_CHARACTERS} hexadecimal digits")
    if number and not (number.isascii() and number.isdigit() and len(number) < _MOST_SHOWN):
        raise ValueError(f"`{prefix}face` is `{printable(number)[:_MOST_SHOWN]}`, and not a number")
    box = None
    if any(side.strip() for side in sides):
        try:
            left, top, right, bottom = map(float, sides)
        except ValueError:
            names = ", ".join(f"`{prefix}{field}`" for field in FACE_FIELDS[-4:])
            raise ValueError(f"{names} are to be four numbers, or all empty") from None
        box = check_box((left, top, right, bottom))
    return FaceReference(ShownPath(printable(image)), box, digest, int(number) if number else None)


def row_of(correction: Correction) -> list[str]:
    """Its fields in the file."""
    return [correction.kind, *_of_face(correction.face), correction.person, *_of_face(correction.other)]


def _of_face(face: FaceReference | None) -> list[str]:
    if face is None:
        return [""] * len(FACE_FIELDS)
    sides = ["", "", "", ""] if face.box is None else [f"{side:.4f}" for side in face.box]
    return [face.image, "" if face.number is None else str(face.number), face.digest, *sides]
