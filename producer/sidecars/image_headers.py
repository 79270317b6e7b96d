"""Opens the images of a job, makes sure that they are the ones that were processed, and reads how they are turned."""

import os
from collections.abc import Iterable, Iterator
from io import BufferedReader, BytesIO
from itertools import groupby
from pathlib import Path

from PIL import Image

from producer.sidecars.job_images import JobImage
from shared.archives.opening import archive_of
from shared.domain.errors import OutsideDataRoot
from shared.domain.file_digests import image_digest
from shared.domain.file_status import FileStatus
from shared.domain.image_formats import openers
from shared.domain.orientation import orientation_of
from shared.domain.paths import resolve_inside
from shared.report.image_files import Source, open_images
from shared.results.files import open_regular

NOT_THERE = "it is not there"
CHANGED = "its file is not the one that the job read"


class NoOrientation(Exception):
    """It cannot be told how an image is turned; the message says why."""


def orientations(
    root: Path, images: Iterable[JobImage], *, unchanged: bool = True
) -> Iterator[tuple[JobImage, int | NoOrientation]]:
    """Yields each image with its orientation, 1 to 8, or why there is none. Opens nothing outside `root`.

    With `unchanged`, a file has to be the one that was embedded; otherwise it has to have as many pixels a side.
    Members that follow one another in an archive are read together.
    """
    # Only headers are read, and the pixels were within the job's limits.
    Image.MAX_IMAGE_PIXELS = None
    for archive, group in groupby(images, key=lambda image: archive_of(root, image.path)):
        if archive is None:
            yield from ((image, _of_file(root, image, unchanged)) for image in group)
            continue
        members = {image.shown: image for image in group}
        for shown, file in open_images(root, Source(list(members), archive)):
            if file is not None:
                yield (image := members.pop(shown)), _of_open(image, file, unchanged)
        yield from ((image, NoOrientation(NOT_THERE)) for image in members.values())


def _of_file(root: Path, image: JobImage, unchanged: bool) -> int | NoOrientation:
    try:
        with open_regular(resolve_inside(root, image.path)) as file:
            return _of_open(image, file, unchanged)
    except FileNotFoundError:
        return NoOrientation(NOT_THERE)
    except OutsideDataRoot as error:
        return NoOrientation(f"it {error}")
    except OSError as error:
        return NoOrientation(f"it cannot be read: {error.strerror or error}")


def _of_open(image: JobImage, file: BufferedReader | BytesIO, unchanged: bool) -> int | NoOrientation:
    if unchanged and not _is_same(image, file):
        return NoOrientation(CHANGED)
    file.seek(0)
    try:
        with Image.open(file, formats=openers()) as opened:
            # Some readers say the size before turning, others that after.
            if any(image.size) and sorted(opened.size) != sorted(image.size):
                return NoOrientation(CHANGED)
            return orientation_of(opened)
    # Pillow's plugins raise almost any exception for damaged files.
    except Exception:
        return NoOrientation("it cannot be decoded")


def _is_same(image: JobImage, file: BufferedReader | BytesIO) -> bool:
    """Whether the open file is the one that was embedded: by size and time, otherwise by its bytes."""
    if not image.digest:
        return True  # the results do not say; its size in pixels is compared
    if isinstance(file, BufferedReader) and image.status.mtime_ns:
        found = os.fstat(file.fileno())
        if FileStatus(found.st_size, found.st_mtime_ns) == image.status:
            return True
    return image_digest(file) == image.digest
