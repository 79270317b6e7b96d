"""The image formats that are read, and how to tell them. Pillow is imported on first use: the producer starts without
it.
"""

from functools import cache

HEAD_BYTES = 32
"""As much of a file as it takes to tell whether it is an image."""
# What people keep photographs in. Left out are formats that run other programs (EPS), need a renderer (PDF, WMF), or
# whose readers are seldom tried (FLI, FPX, MIC, ...).
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
    """The formats that have a reader of their own: MPO, for one, is read as JPEG."""
    from PIL import Image

    register_formats()
    return tuple(kind for kind in FORMATS if kind in Image.OPEN)


@cache
def image_extensions() -> frozenset[str]:
    """Lower-case extensions, with the dot, of the formats that are read."""
    from PIL import Image

    register_formats()
    return frozenset(ext for ext, kind in Image.registered_extensions().items() if kind in FORMATS)


def has_image_signature(head: bytes) -> bool:
    """Whether a file that begins with these bytes is of a format that is read."""
    from PIL import Image

    for kind in openers():
        accept = Image.OPEN[kind][1]
        if accept is not None and accept(head[:HEAD_BYTES]) is True:
            return True
    return False
