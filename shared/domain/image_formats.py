"""The supported image formats and how to recognize them. Pillow is imported on first use: the producer starts without
it.
"""

from functools import cache

HEAD_BYTES = 32
"""The number of bytes at the start of a file that suffice to recognize an image."""
# Formats of photographs. Left out are formats that run other programs (EPS), need a renderer (PDF, WMF), or whose
# readers are little tested (FLI, FPX, MIC, ...).
FORMATS = (
    "JPEG",
    "MPO",
    "PNG",
    "GIF",
    "WEBP",
    "AVIF",
    "HEIF",
    "TIFF",
    "BMP",
    "DIB",
    "JPEG2000",
    "PPM",
    "TGA",
    "PSD",
    "PCX",
    "SGI",
    "ICO",
    "ICNS",
    "QOI",
    "DDS",
)


@cache
def register_formats() -> None:
    """Loads Pillow's plugins and HEIF."""
    import pillow_heif
    from PIL import Image

    Image.init()
    pillow_heif.register_heif_opener(thumbnails=False)


@cache
def openers() -> tuple[str, ...]:
    """The formats that have a reader of their own. MPO, for example, is read as JPEG."""
    from PIL import Image

    register_formats()
    return tuple(kind for kind in FORMATS if kind in Image.OPEN)


@cache
def image_extensions() -> frozenset[str]:
    """The lower-case extensions, with the dot, of the supported formats."""
    from PIL import Image

    register_formats()
    return frozenset(ext for ext, kind in Image.registered_extensions().items() if kind in FORMATS)


def has_image_signature(head: bytes) -> bool:
    """Whether a file that starts with these bytes has a supported format."""
    from PIL import Image

    for kind in openers():
        accept = Image.OPEN[kind][1]
        if accept is not None and accept(head[:HEAD_BYTES]) is True:
            return True
    return False
