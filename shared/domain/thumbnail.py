"""A face's thumbnail: the square around it, as a small JPEG. Workers and the report use the same code."""

from io import BytesIO

from PIL import Image

from shared.domain.boxes import Box

SIDE_PX = 96
"""Side of a thumbnail, in pixels."""
AROUND = 0.3
"""Margin on each side, as a share of the box's longer side."""
MAX_TOTAL_BYTES = 14 * 2**20
"""Maximum size of all thumbnails of a page: 19 MiB in base64."""
_OF_A_SMALL_PAGE = 5_000
_QUALITY = 72


def images_with_thumbnails(report_faces: int) -> int:
    """Workers cut thumbnails only in batches that begin before this image, if a large report has `report_faces`."""
    return max(report_faces, _OF_A_SMALL_PAGE)


def crop_square(image: Image.Image, box: Box, scale: float = 1.0) -> Image.Image:
    """The square around the face, moved into the image if it sticks out.

    `scale` is the size of `image` divided by that of the image in whose pixels the box is.
    """
    left, top, right, bottom = (edge * scale for edge in box)
    side = max(1.0, min(max(right - left, bottom - top) * (1 + 2 * AROUND), image.width, image.height))
    x = min(max((left + right - side) / 2, 0), image.width - side)
    y = min(max((top + bottom - side) / 2, 0), image.height - side)
    return image.crop((int(x), int(y), int(x + side), int(y + side)))


def small_jpeg(crop: Image.Image, side_px: int = SIDE_PX) -> bytes:
    """The crop at this size, as a JPEG without the original's comment and location."""
    small = crop.resize((side_px, side_px), Image.Resampling.LANCZOS, reducing_gap=3.0)
    small.info = {}
    out = BytesIO()
    small.save(out, "JPEG", quality=_QUALITY, optimize=True)
    return out.getvalue()
