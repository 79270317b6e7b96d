"""Reads the XMP packet in an image file: digiKam and others write there unless they are told to write sidecars."""

from pathlib import Path

from PIL import Image

from shared.domain.image_formats import openers
from shared.domain.paths import FolderPath, resolve_inside
from shared.results.files import open_regular


def embedded_packet(root: Path, path: FolderPath) -> bytes | None:
    """The packet in the image below `root`; None if there is none, or no such image. No pixel is decoded."""
    Image.MAX_IMAGE_PIXELS = None
    try:
        with open_regular(resolve_inside(root, path)) as file, Image.open(file, formats=openers()) as image:
            found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    # Most images have none, and Pillow raises almost any exception for damaged ones.
    except Exception:
        return None
    return found.encode(errors="replace") if isinstance(found, str) else found or None
