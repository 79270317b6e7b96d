"""Areas of an image as it is stored and as it is seen: EXIF orientation says how it is turned in between."""

from typing import NamedTuple

from PIL import ExifTags, Image

AS_STORED = 1
"""The orientation of an image that is stored as it is seen."""
_SIDEWAYS = 5
"""From this orientation on, rows become columns."""
_TURNED_BACK_BY = {6: 8, 8: 6}
"""The other orientations undo themselves."""


class Area(NamedTuple):
    """A rectangle by its center, in parts of the image's width and height: 0.5, 0.5 is the middle of the image."""

    x: float
    y: float
    width: float
    height: float


def orientation_of(image: Image.Image) -> int:
    """The orientation, 1 to 8, by which other programs turn the file's image. The file need not be decoded yet."""
    # pillow-heif turns the image itself and then says that it is upright.
    stated = image.info.get("original_orientation")
    if stated is None:
        try:
            stated = image.getexif().get(ExifTags.Base.Orientation)
        # Pillow raises almost any exception for damaged EXIF data, and nobody turns the image by that.
        except Exception:
            return AS_STORED
    return stated if type(stated) is int and 1 <= stated <= 8 else AS_STORED


def is_sideways(orientation: int) -> bool:
    """Whether an image of this orientation is as wide as it is stored high."""
    return orientation >= _SIDEWAYS


def turned(area: Area, orientation: int) -> Area:
    """Where an area of the stored image is in the upright one."""
    x, y, width, height = area
    if is_sideways(orientation):
        width, height = height, width
    match orientation:
        case 2:
            x = 1 - x
        case 3:
            x, y = 1 - x, 1 - y
        case 4:
            y = 1 - y
        case 5:
            x, y = y, x
        case 6:
            x, y = 1 - y, x
        case 7:
            x, y = 1 - y, 1 - x
        case 8:
            x, y = y, 1 - x
    return Area(x, y, width, height)


def turned_back(area: Area, orientation: int) -> Area:
    """Where an area of the upright image is in the stored one: the inverse of `turned`."""
    return turned(area, _TURNED_BACK_BY.get(orientation, orientation))
