"""Decodes a file's bytes of any supported format into upright 8-bit RGB pixels; failures raise `ImageTrouble`."""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pillow_heif
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL import __version__ as pillow_version

from shared.domain.image_formats import HEAD_BYTES, has_image_signature, image_extensions, openers
from shared.domain.outcomes import Outcome
from shared.domain.pixels import to_rgb

DECODER = f"Pillow {pillow_version}, pillow-heif {pillow_heif.__version__}"

_ICONS = (b"\0\0\1\0", b"icns")
"""The first bytes of ICO and ICNS files, which contain PNG or JPEG2000 files. Only the reader sees how large those are.
"""
_ADDRESS = re.compile(r"<[^<>]* object at 0x[0-9a-f]+>|0x[0-9a-f]{6,}")


class ImageTrouble(Exception):
    """A file that cannot be decoded: its outcome, and the reason as text."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


@dataclass(frozen=True)
class Limits:
    """The limits that are checked before anything is decoded."""

    max_bytes: int
    max_pixels: int


def read_bytes(path: Path, limits: Limits) -> bytes:
    """The whole file, if it looks like an image and is not too large."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            check_file(path.name, head, os.fstat(file.fileno()).st_size, limits)
            data = head + file.read(limits.max_bytes + 1 - len(head))
            # The file may grow while it is read.
            check_file(path.name, head, len(data), limits)
            return data
    except OSError as error:
        raise ImageTrouble(Outcome.UNREADABLE, f"cannot be read: {error.strerror or type(error).__name__}") from None


def check_file(name: str, head: bytes, size: int, limits: Limits) -> None:
    """ImageTrouble if the file is not to be decoded, judged by its name, first bytes and size."""
    if Path(name).suffix.lower() not in image_extensions() and not has_image_signature(head):
        raise ImageTrouble(Outcome.SKIPPED, "neither an image extension nor an image signature")
    if size > limits.max_bytes:
        raise ImageTrouble(
            Outcome.TOO_LARGE, f"file of {size / 2**20:.0f} MiB, the limit is {limits.max_bytes / 2**20:.0f} MiB"
        )
    if not head:
        raise ImageTrouble(Outcome.UNREADABLE, "empty file")


@contextmanager
def _refused_above(pixels: int | None) -> Iterator[None]:
    """Pillow refuses images with more pixels in the block."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None if pixels is None else pixels // 2  # images above twice this value are errors
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def decode(data: bytes, limits: Limits) -> Image.Image:
    """The upright RGB image; ImageTrouble says why there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Pillow's own check is off for other formats: ours comes first and reports the numbers.
        pillows = limits.max_pixels if data.startswith(_ICONS) else None
        try:
            with _refused_above(pillows), Image.open(BytesIO(data), formats=openers()) as image:
                width, height = image.size
                if width * height > limits.max_pixels:
                    raise ImageTrouble(
                        Outcome.TOO_LARGE,
                        f"{width} x {height} pixels, the limit is {limits.max_pixels / 1e6:.0f} megapixels",
                    )
                if width < 1 or height < 1:
                    raise ImageTrouble(Outcome.UNREADABLE, f"{width} x {height} pixels")
                image.load()
                return to_rgb(_upright(image))
        # The image is not at fault: other processes may use the memory. Crash attribution counts how often it happens.
        except (ImageTrouble, MemoryError):
            raise
        except Image.DecompressionBombError:
            raise ImageTrouble(
                Outcome.TOO_LARGE, f"an icon with more pixels inside than {limits.max_pixels / 1e6:.0f} megapixels"
            ) from None
        except UnidentifiedImageError:
            raise ImageTrouble(Outcome.UNREADABLE, "not an image, or damaged beyond recognition") from None
        # Pillow's plugins raise almost any exception for damaged files. It must not affect other images.
        except Exception as error:
            raise ImageTrouble(Outcome.UNREADABLE, _in_words(error)) from None


def _in_words(error: Exception) -> str:
    text = _ADDRESS.sub("data", str(error)).strip().splitlines()
    return f"damaged: {text[0] if text else type(error).__name__}"[:200]


def _upright(image: Image.Image) -> Image.Image:
    """The image as it was seen."""
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
            return image  # Pillow's function would copy the pixels
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    # Damaged EXIF data says nothing about the pixels, which are fine.
    except Exception:
        return image
