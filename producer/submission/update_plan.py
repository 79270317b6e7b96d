"""What an update takes from the earlier results: each image of the source is compared with what they say about it.

The comparison is kept in a temporary database, so memory does not grow with the number of images.
"""

import csv
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from producer.submission.sources import Found, Source
from shared.domain.counts import counted
from shared.domain.errors import ResultsError
from shared.domain.file_status import FileStatus
from shared.domain.outcomes import FAILED, Outcome
from shared.domain.paths import FolderPath, printable
from shared.results.recorded_images import RecordedImage, recorded_images

_SCHEMA = """
CREATE TABLE earlier (row INTEGER PRIMARY KEY, path BLOB, outcome TEXT, faces INT, digest TEXT, size INT, mtime_ns INT,
                      in_place INT DEFAULT 0);
CREATE TABLE now (place INTEGER PRIMARY KEY, path BLOB, size INT, mtime_ns INT, row INT, was_there INT);
CREATE TABLE failed (value TEXT PRIMARY KEY);
"""

_AT_PATH = "SELECT row, path, outcome, faces, digest, size, mtime_ns FROM earlier WHERE path = ?"
_IS_LEFT = "SELECT 1 FROM earlier WHERE in_place = 0 AND digest <> '' AND size = ? LIMIT 1"
_LEFT = (
    "SELECT row FROM earlier WHERE in_place = 0 AND digest = ? AND size = ?"
    " AND outcome NOT IN (SELECT value FROM failed) ORDER BY row LIMIT 1"
)
_NEW = "SELECT place, path, size FROM now WHERE row IS NULL AND place > ? ORDER BY place LIMIT 1000"


class KnownImage(NamedTuple):
    """An image that the earlier results have."""

    row: int
    outcome: Outcome
    faces: int
    status: FileStatus
    """As it is now."""


@dataclass(frozen=True)
class Counts:
    """The numbers of images of an update."""

    images: int
    known: int
    moved: int
    """Known ones that had another path."""
    changed: int
    gone: int
    unchanged: bool
    """Whether every row is what and where it was, under the same path."""

    def describe(self, job: str) -> str:
        """One line for the user."""
        moved = f" ({self.moved:,} moved)" if self.moved else ""
        changed = f", {self.changed:,} changed" if self.changed else ""
        new = self.images - self.known - self.changed
        images = counted(self.images, "image")
        return f"{job}: {images}, {self.known:,} known{moved}, {new:,} new{changed}, {self.gone:,} gone"


class UpdatePlan:
    """The comparison of a source with earlier results."""

    def __init__(self, source: Source, results: Path, *, checksum: bool = False, retry_failed: bool = False) -> None:
        """Compares them; ResultsError if the results cannot be read, or there is no room for the comparison.

        A file with the same size and time is known. If only its time differs, or with `checksum`, its bytes decide. A
        new path with the bytes of a file that is gone from its own is that file, moved. With `retry_failed`, images
        that failed are not known.
        """
        self._source, self._checksum, self._retry_failed = source, checksum, retry_failed
        # An empty name: SQLite makes a temporary file and removes it. One thread at a time uses it.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.text_factory = bytes
        try:
            self._database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN; {_SCHEMA}")
            self._add_earlier(results)
            self._compare()
            self._find_moved()
            self.counts = self._count()
        except (OSError, ValueError, LookupError, TypeError, csv.Error) as error:
            raise ResultsError(
                f"The images cannot be compared with the results in {printable(str(results))} "
                f"({printable(str(error))}). Repeat the command with --fresh to compute everything, or give another "
                "--job."
            ) from None
        except sqlite3.Error as error:
            raise ResultsError(
                f"The images cannot be compared with the earlier results: {error}. Make room in the folder for "
                "temporary files (TMPDIR)."
            ) from None

    def find(self, path: FolderPath) -> KnownImage | None:
        """What the earlier results know of the image that was at this path when they were compared."""
        found = self._database.execute(
            "SELECT row, outcome, faces, now.size, now.mtime_ns FROM now JOIN earlier USING (row) WHERE now.path = ?",
            [os.fsencode(path)],
        ).fetchone()
        if found is None:
            return None
        row, outcome, faces, size, mtime_ns = found
        return KnownImage(row, Outcome(outcome.decode()), faces, FileStatus(size, mtime_ns))

    def _add_earlier(self, results: Path) -> None:
        self._database.executemany(
            "INSERT INTO earlier (row, path, outcome, faces, digest, size, mtime_ns) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (row, os.fsencode(image.path), image.outcome.value, image.faces, image.digest, *image.status)
                for row, image in enumerate(recorded_images(results))
            ),
        )
        self._database.execute("CREATE UNIQUE INDEX earlier_path ON earlier (path)")

    def _compare(self) -> None:
        for place, found in enumerate(self._source.find(status=True)):
            raw, row, was_there = os.fsencode(found.path), None, False
            for row, recorded in self._recorded(_AT_PATH, raw):
                was_there = True
                if not self._is_same(found, recorded):
                    row = None
                    break
                self._database.execute("UPDATE earlier SET in_place = 1 WHERE row = ?", [row])
            values = (place, raw, found.size or 0, found.mtime_ns or 0, row, was_there)
            self._database.execute("INSERT INTO now VALUES (?, ?, ?, ?, ?, ?)", values)
        self._database.execute("CREATE UNIQUE INDEX now_path ON now (path)")

    def _find_moved(self) -> None:
        self._database.execute("CREATE INDEX left ON earlier (size, digest, row) WHERE in_place = 0")
        if self._retry_failed:
            self._database.executemany("INSERT INTO failed VALUES (?)", [(outcome.value,) for outcome in FAILED])
        place = -1
        while new := self._database.execute(_NEW, [place]).fetchall():
            for place, raw, size in new:
                if self._database.execute(_IS_LEFT, [size]).fetchone() is None:
                    continue
                digest = self._source.digest(FolderPath(os.fsdecode(raw)))
                found = self._database.execute(_LEFT, [digest, size]).fetchone()
                if found is not None:
                    self._database.execute("UPDATE now SET row = ? WHERE place = ?", [*found, place])

    def _recorded(self, query: str, value: bytes | int) -> Iterator[tuple[int, RecordedImage]]:
        for row, path, outcome, faces, digest, size, mtime_ns in self._database.execute(query, [value]).fetchall():
            status = FileStatus(size, mtime_ns)
            image = RecordedImage(
                FolderPath(os.fsdecode(path)), Outcome(outcome.decode()), faces, digest.decode(), status
            )
            yield row, image

    def _is_same(self, found: Found, recorded: RecordedImage) -> bool:
        if self._fails(recorded):
            return False
        same_size = found.size == recorded.status.size
        if recorded.digest:
            same = same_size and found.mtime_ns == recorded.status.mtime_ns
            checked = found.member is None and (self._checksum or not same)
            return same_size and self._source.digest(found.path) == recorded.digest if checked else same
        if found.size is None and found.member is None and recorded.status == FileStatus():
            return True  # it is still not there
        return recorded.status.mtime_ns != 0 and (
            (same_size and found.mtime_ns == recorded.status.mtime_ns) or self._link_status(found) == recorded.status
        )

    def _link_status(self, found: Found) -> FileStatus:
        """Size and time of the link itself: workers record these of a link that leads nowhere."""
        try:
            status = os.lstat(self._source.folder / found.path)
        except OSError:
            return FileStatus()
        return FileStatus(status.st_size, status.st_mtime_ns)

    def _fails(self, recorded: RecordedImage) -> bool:
        return self._retry_failed and recorded.outcome in FAILED

    def _count(self) -> Counts:
        images, known, changed, moved, displaced = self._database.execute(
            "SELECT count(*), count(row), coalesce(sum(row IS NULL AND was_there), 0),"
            " coalesce(sum(row IS NOT NULL AND NOT coalesce(in_place, 0)), 0),"
            " coalesce(sum(row IS NOT place), 0) FROM now LEFT JOIN earlier USING (row)"
        ).fetchone()
        (gone,) = self._database.execute(
            "SELECT count(*) FROM earlier WHERE NOT in_place AND path NOT IN (SELECT path FROM now)"
            " AND row NOT IN (SELECT row FROM now WHERE row IS NOT NULL)"
        ).fetchone()
        (before,) = self._database.execute("SELECT count(*) FROM earlier").fetchone()
        return Counts(images, known, moved, changed, gone, unchanged=displaced == moved == 0 and images == before)
