"""The images of a job that have faces, in the order of its tables: memory does not grow with their number."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, repeat
from pathlib import Path

from producer.sidecars.geometry import Size
from shared.domain.boxes import Box, parse_box
from shared.domain.file_status import FileStatus
from shared.domain.outcomes import Outcome
from shared.domain.paths import FolderPath, ShownPath, check_relative, path_of_shown, printable
from shared.domain.text import parse_json
from shared.results.reader import rows_of
from shared.results.schema import BOX_COLUMNS, DIGEST_COLUMNS, DIGESTS, FACES, IMAGES


@dataclass(frozen=True, slots=True)
class JobImage:
    """An image with faces."""

    shown: ShownPath
    path: FolderPath
    size: Size
    """Width and height of the upright image, in pixels; 0 if the results do not say."""
    digest: str
    """Of its file; empty if it is not known."""
    status: FileStatus
    """Of its file, when it was read."""
    faces: tuple[tuple[int, Box], ...]
    """The row of each face in `faces.csv`, and its box."""


def images_with_faces(folder: Path) -> Iterator[JobImage]:
    """Yields them. Raises what `reading` explains if the tables cannot be read, or do not fit together."""
    images = zip(rows_of(folder / IMAGES, "image", "path", "width", "height"), _digests(folder), strict=False)
    for number, rows in groupby(_faces(folder), key=lambda row: row[0]):
        faces = tuple((row, box) for _, row, box in rows)
        found = next((pair for pair in images if pair[0][0] == number), None)
        if found is None:
            raise ValueError(f"{FACES} has faces of image {printable(number)} that {IMAGES} has not in this place")
        (_, path, width, height), (of_image, digest, size, mtime_ns, exact) = found
        if of_image not in (number, ""):
            raise ValueError(f"{DIGESTS} does not fit {IMAGES}")
        shown = ShownPath(printable(path))
        yield JobImage(
            shown,
            _exact_path(shown, exact),
            (int(width or 0), int(height or 0)),
            digest,
            FileStatus(int(size or 0), int(mtime_ns or 0)),
            faces,
        )


def image_paths(folder: Path) -> Iterator[FolderPath]:
    """Yields the paths of all images of the job, also of those without faces. Raises as `images_with_faces`."""
    for (path, outcome), digest in zip(rows_of(folder / IMAGES, "path", "outcome"), _digests(folder), strict=False):
        if outcome != Outcome.SKIPPED:
            yield _exact_path(ShownPath(printable(path)), digest[-1])


def _exact_path(shown: ShownPath, exact: str) -> FolderPath:
    return FolderPath(check_relative(parse_json(exact))) if exact else path_of_shown(shown)


def _faces(folder: Path) -> Iterator[tuple[str, int, Box]]:
    """The image's number, the row and the box of each face."""
    for row, (number, *values) in enumerate(rows_of(folder / FACES, "image", *BOX_COLUMNS[:4])):
        yield number, row, parse_box(values)


def _digests(folder: Path) -> Iterator[list[str]]:
    """The rows of `digests.csv`; empty ones if there is no such file."""
    if not os.path.lexists(folder / DIGESTS):
        return repeat([""] * len(DIGEST_COLUMNS))
    return rows_of(folder / DIGESTS, *DIGEST_COLUMNS)
