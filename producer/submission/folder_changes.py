"""What has changed in a folder since a job read it."""

import csv
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import zip_longest
from pathlib import Path

from producer.submission.sources import Found, Source
from shared.domain.errors import ResultsError
from shared.domain.file_digests import image_digest
from shared.domain.paths import ShownPath, printable, show_path
from shared.results.files import open_table, read_json
from shared.results.schema import DIGESTS, IMAGES, SUMMARY

_CLOCKS_DIFFER_S = 60.0
"""The most by which the clocks of the server and of the machine that wrote the files are assumed to differ."""
_EXAMPLES = 3


@dataclass
class Changes:
    """How many files are new, changed or gone, and the first of each kind."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[ShownPath]] = field(default_factory=dict)

    def add(self, kind: str, path: ShownPath) -> None:
        """Counts a file."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < _EXAMPLES:
            examples.append(path)

    def __str__(self) -> str:
        return ", ".join(self._describe(kind) for kind in ("new", "changed", "gone") if kind in self.counts)

    def _describe(self, kind: str) -> str:
        count, examples = self.counts[kind], ", ".join(self.examples[kind])
        return f"{count} {kind} ({examples}{', ...' if count > _EXAMPLES else ''})"


@dataclass(frozen=True)
class _Row:
    path: ShownPath
    digest: str
    """BLAKE2b-128 of the file's bytes; empty if the file was not read to its end."""


def find_changes(source: Source, results: Path) -> Changes:
    """Compares a source with the results of a finished job; ResultsError if they cannot be read.

    A file that has not been touched since the job began counts as unchanged. Any other file is read, and its digest
    compared. If the results have no digest of a file (skipped, too large, unreadable), its time decides. A folder that
    could not be listed is not compared.
    """
    changes = Changes()
    try:
        since_s, ended_s = _times(results)
        for found, row in _pair(source.find(), _rows(results)):
            if found is None:
                if row is not None:
                    changes.add("gone", row.path)
            elif row is None:
                changes.add("new", show_path(found.path))
            elif _has_changed(source.folder, found, row.digest, since_s, ended_s):
                changes.add("changed", row.path)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, csv.Error) as error:
        raise ResultsError(
            f"The folder cannot be compared with the results in {printable(str(results))} ({error}). Move them away "
            "and repeat the command, or give another --job."
        ) from None
    return changes


def _times(results: Path) -> tuple[float, float]:
    """Seconds since 1970: a file older than the first is the one that was read; a file newer than the second is not."""
    summary = read_json(results / SUMMARY)
    began = datetime.fromisoformat(summary["started"] or summary["created"]).timestamp()
    ended = [entry["ended"] for entry in (summary, *summary.get("retries", []))]
    return began - _CLOCKS_DIFFER_S, max(datetime.fromisoformat(time).timestamp() for time in ended) + _CLOCKS_DIFFER_S


def _rows(results: Path) -> Iterator[_Row]:
    with (
        open_table(results / IMAGES) as images,
        open_table(results / DIGESTS) as digests,
    ):
        for image, digest in zip(csv.DictReader(images), csv.DictReader(digests), strict=True):
            yield _Row(ShownPath(image["path"]), digest["blake2b"])


def _pair(images: Iterable[Found], rows: Iterable[_Row]) -> Iterator[tuple[Found | None, _Row | None]]:
    """Pairs the images of a source with their rows; None for what one side lacks.

    Both come in the same order, so memory grows only with the number of differences.
    """
    here: dict[ShownPath, Found] = {}
    there: dict[ShownPath, _Row] = {}
    for found, row in zip_longest(images, rows):
        shown = None if found is None else show_path(found.path)
        if found is not None and row is not None and shown == row.path:
            yield found, row
            continue
        if found is not None and shown is not None:
            if shown in there:
                yield found, there.pop(shown)
            else:
                here[shown] = found
        if row is not None:
            if row.path in here:
                yield here.pop(row.path), row
            else:
                there[row.path] = row
    yield from ((found, None) for found in here.values())
    yield from ((None, row) for row in there.values())


def _has_changed(folder: Path, found: Found, digest: str, since_s: float, ended_s: float) -> bool:
    if found.member is not None:  # the archive's time decides
        return found.member.mtime_ns / 1e9 > ended_s
    if found.path.endswith("/"):
        return False
    file = folder / found.path
    try:
        if not digest:
            return os.lstat(file).st_mtime > ended_s
        status = file.stat()
        # A copy may keep the first time, but not the second.
        if max(status.st_mtime, status.st_ctime) < since_s:
            return False
        with file.open("rb") as opened:
            return image_digest(opened) != digest
    except OSError:
        return bool(digest)  # a digest says that the file could be read then
