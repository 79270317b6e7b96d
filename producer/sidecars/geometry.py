"""Boxes of faces in pixels of the upright image, and areas in parts of the stored one."""

from shared.domain.boxes import Box
from shared.domain.orientation import Area, is_sideways, turned, turned_back

Size = tuple[int, int]
"""Width and height, in pixels."""


def stored_size(upright: Size, orientation: int) -> Size:
    """The size of the stored image; the upright one's, if that is given as stored."""
    return (upright[1], upright[0]) if is_sideways(orientation) else upright


def stored_area(box: Box, upright: Size, orientation: int) -> Area | None:
    """The area of a box in the stored image, in whole pixels and without what lies outside; None if nothing is left.

    Detectors see faces that the image's edge cuts off, and regions end there. digiKam takes a region of Microsoft and
    one of the Metadata Working Group for the same if they are equal in whole pixels: from parts of a pixel, it would
    round the two differently now and then, and show the face twice.
    """
    width, height = upright
    left, right = (min(max(round(side), 0), width) for side in (box[0], box[2]))
    top, bottom = (min(max(round(side), 0), height) for side in (box[1], box[3]))
    if left >= right or top >= bottom:
        return None
    area = Area(
        (left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height
    )
    return turned_back(area, orientation)


def upright_box(area: Area, upright: Size, orientation: int) -> Box:
    """The box of an area of the stored image, as `stored_area` turns it."""
    x, y, width, height = turned(area, orientation)
    return (
        (x - width / 2) * upright[0],
        (y - height / 2) * upright[1],
        (x + width / 2) * upright[0],
        (y + height / 2) * upright[1],
    )
