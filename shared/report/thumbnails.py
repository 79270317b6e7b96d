"""Thumbnails of faces: those that the workers have cut, and others, cut from the images when the report is written."""

import math
import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

from shared.domain.boxes import Box
from shared.domain.file_digests import image_digest
from shared.domain.image_formats import openers
from shared.domain.paths import ShownPath
from shared.domain.pixels import to_rgb
from shared.domain.thumbnail import AROUND, MAX_TOTAL_BYTES, SIDE_PX
from shared.domain.thumbnail import crop_square as _crop
from shared.domain.thumbnail import small_jpeg as _jpeg
from shared.report.image_files import OpenImage, Source, image_sources, open_images
from shared.results.tables import Face, ImageFile

_SMALL_SIDE_PX = 72
_MANY_FACES = 1_500  # from here on the small side
_MAX_THREADS = 4  # decoders release the interpreter, and each holds an image in memory


@dataclass(frozen=True)
class Thumbnails:
    """JPEGs of faces."""

    jpegs: list[bytes | None]
    """One per face, None for a face without a picture."""
    side_px: int
    missing: int
    """Faces whose image is missing, is not the one that was embedded, or cannot be decoded."""
    left_out: int
    """Faces whose pictures were left out for lack of time or space."""


def cut_thumbnails(
    faces: list[Face],
    images: Iterable[ImageFile],
    digests: dict[ShownPath, str],
    root: Path | None,
    *,
    ready: Mapping[int, bytes] | None = None,
    seconds: float | None = None,
    most_bytes: int | None = None,
) -> Thumbnails:
    """Thumbnails of `faces`: those that are `ready` (by their place among `faces`), others cut
    from the images below `root`; none comes from outside it.

    An image gives no picture if `digests` (by path, BLAKE2b-128) lacks it, or has another digest than its file has now.
    No further image is started after `seconds`. `most_bytes` is for all together; the default is that of a small page.
    """
    side_px = SIDE_PX if len(faces) < _MANY_FACES else _SMALL_SIDE_PX
    jpegs: list[bytes | None] = [None] * len(faces)
    for index, jpeg in (ready or {}).items():
        jpegs[index] = jpeg if side_px == SIDE_PX else _smaller(jpeg, side_px)
    if root is None or not root.is_dir():
        return Thumbnails(jpegs, side_px, jpegs.count(None), _leave_out(jpegs, most_bytes))
    # The size is compared with the one that was embedded, before anything is decoded.
    Image.MAX_IMAGE_PIXELS = None
    faces_of: dict[ShownPath, list[int]] = {}
    for index, face in enumerate(faces):
        if jpegs[index] is None:
            faces_of.setdefault(face.path, []).append(index)
    size_of = {image.path: (image.width, image.height) for image in images if image.path in faces_of}
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    late = 0

    def cut(path: ShownPath, file: OpenImage) -> list[bytes]:
        boxes = [faces[index].box for index in faces_of[path]]
        return _cut(file, digests.get(path), size_of.get(path, (0, 0)), boxes, side_px)

    def cut_from(source: Source) -> dict[ShownPath, list[bytes] | None]:
        """The cuts of each image; None for one that was not reached in time."""
        cuts: dict[ShownPath, list[bytes] | None] = dict.fromkeys(source.paths)
        if time.monotonic() > deadline:
            return cuts
        for path, file in open_images(root, source):
            if file is not None:
                cuts[path] = cut(path, file)
            if time.monotonic() > deadline:
                return cuts
        return {path: cuts[path] or [] for path in cuts}

    with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        for cuts in pool.map(cut_from, image_sources(root, faces_of)):
            for path, found in cuts.items():
                late += len(faces_of[path]) if found is None else 0
                for index, jpeg in zip(faces_of[path], found or [], strict=False):
                    jpegs[index] = jpeg
    missing = jpegs.count(None) - late
    return Thumbnails(jpegs, side_px, missing, late + _leave_out(jpegs, most_bytes))


def _leave_out(jpegs: list[bytes | None], most_bytes: int | None) -> int:
    """Sets the pictures beyond `most_bytes` to None, and counts them."""
    total, left_out = 0, 0
    most_bytes = MAX_TOTAL_BYTES if most_bytes is None else most_bytes
    for index, jpeg in enumerate(jpegs):
        total += len(jpeg or b"")
        if jpeg is not None and total > most_bytes:
            jpegs[index] = None
            left_out += 1
    return left_out


def _smaller(jpeg: bytes, side_px: int) -> bytes | None:
    """The thumbnail at another size; None if it is damaged."""
    try:
        with Image.open(BytesIO(jpeg), formats=["JPEG"]) as image:
            return _jpeg(to_rgb(image), side_px)
    except Exception:  # like any file from elsewhere
        return None


def _cut(file: OpenImage, digest: str | None, size: tuple[int, int], boxes: list[Box], side_px: int) -> list[bytes]:
    """A JPEG for each box; an empty list if the file does not have that digest and (upright) size."""
    try:
        # One open file for both: the decoded bytes are the compared ones, even if the path is replaced meanwhile.
        if digest is None or image_digest(file) != digest:
            return []
        file.seek(0)
        with Image.open(file, formats=openers()) as image:
            # Width times height: some of Pillow's readers turn the image already when they open it, some never do.
            if image.width * image.height != size[0] * size[1]:
                return []
            _reduce(image, boxes, side_px)
            upright = to_rgb(ImageOps.exif_transpose(image))
            return [_jpeg(_crop(upright, box, upright.width / size[0]), side_px) for box in boxes]
    # Pillow's readers raise nearly anything on damaged files; a report goes without the picture.
    except Exception:
        return []


def _reduce(image: Image.Image, boxes: list[Box], side_px: int) -> None:
    """Sets a JPEG to be decoded at 1/2, 1/4 or 1/8 if the smallest face is still larger than its thumbnail."""
    smallest = min(max(box[2] - box[0], box[3] - box[1]) for box in boxes) * (1 + 2 * AROUND)
    if image.format == "JPEG" and smallest > 2 * side_px:
        image.draft(None, (int(image.width * side_px / smallest), int(image.height * side_px / smallest)))
