"""What a results folder says about each file: enough to tell whether it is still the one that was embedded."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from shared.domain.file_status import FileStatus
from shared.domain.outcomes import Outcome
from shared.domain.paths import FolderPath, ShownPath, check_relative, path_of_shown
from shared.domain.text import parse_json
from shared.results.files import open_table
from shared.results.schema import DIGESTS, IMAGES


class RecordedImage(NamedTuple):
    """A file as the results have it."""

    path: FolderPath
    outcome: Outcome
    faces: int
    digest: str
    """BLAKE2b-128; empty if the file was not read to its end."""
    status: FileStatus


def recorded_images(folder: Path) -> Iterator[RecordedImage]:
    """The files in the order of `images.csv`. OSError, ValueError, LookupError or csv.Error if they cannot be read."""
    with open_table(folder / IMAGES) as images, open_table(folder / DIGESTS) as digests:
        for image, digest in zip(csv.DictReader(images), csv.DictReader(digests), strict=True):
            exact = digest["exact_path"]
            path = FolderPath(check_relative(parse_json(exact))) if exact else path_of_shown(ShownPath(image["path"]))
            status = FileStatus(int(digest["size"]), int(digest["mtime_ns"]))
            yield RecordedImage(path, Outcome(image["outcome"]), int(image["faces"]), digest["blake2b"], status)
