"""Areas of an image as it is stored and as it is seen: EXIF orientation says how it is turned in between."""

from collections.abc import Iterable
from math import dist
from typing import Any, NamedTuple

from PIL import ExifTags, Image

AS_STORED = 1
"""The orientation of an image that is stored as it is seen."""
_SIDEWAYS = 5
"""From this orientation on, rows become columns."""
_TURNED_BACK_BY = {6: 8, 8: 6}
"""The other orientations undo themselves."""
_HEIF_STEPS = {("irot", 90): 8, ("irot", 180): 3, ("irot", 270): 6, ("imir", 0): 4, ("imir", 1): 2}
"""The orientations of a container's rotations, counterclockwise in degrees, and mirrors."""


class Area(NamedTuple):
    """A rectangle by its center, in parts of the image's width and height: 0.5, 0.5 is the middle of the image."""

    x: float
    y: float
    width: float
    height: float


def orientation_of(image: Image.Image) -> int:
    """How the stored image is turned to be upright, 1 to 8. The file need not be decoded yet."""
    heif = getattr(image, "_heif_file", None)
    if heif is not None:  # its container says it, whatever its EXIF data say, and the decoder has turned it
        return _orientation_of_heif(heif[image.tell()]._c_image.transformations)
    try:
        stated = image.getexif().get(ExifTags.Base.Orientation)
    # Pillow raises almost any exception for damaged EXIF data, and nobody turns the image by that.
    except Exception:
        return AS_STORED
    return stated if type(stated) is int and 1 <= stated <= 8 else AS_STORED


def _orientation_of_heif(transformations: Iterable[tuple[Any, ...]]) -> int:
    """The orientation that comes to the same as a HEIF container's transformations, one after the other."""
    found = _PROBE
    for kind, value, *_ in transformations:
        found = turned(found, _HEIF_STEPS.get((kind, value), AS_STORED))
    return min(range(1, 9), key=lambda orientation: dist(turned(_PROBE, orientation), found))


_PROBE = Area(0.1, 0.3, 0.2, 0.2)
"""No two orientations turn it to the same place."""


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
