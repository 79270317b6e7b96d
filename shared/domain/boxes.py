"""Boxes of faces in an image, and which numbers can be one."""

from collections.abc import Iterable

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels of the upright image."""

MOST_PX = 2.0**31
"""No image is as large. Boxes read from files may have any number, and sums and products of larger ones overflow."""


def parse_box(sides: Iterable[str]) -> Box:
    """The box with these four sides. ValueError if one is no number, or none that a box in an image has."""
    left, top, right, bottom = map(float, sides)
    return check_sides((left, top, right, bottom))


def check_sides(box: Box) -> Box:
    """Returns the box. ValueError if a side is none that a box in an image has: too large, infinite or not a number."""
    if not all(abs(side) <= MOST_PX for side in box):  # false for NaN too
        raise ValueError(f"the box {','.join(f'{side:g}' for side in box)} cannot be in an image")
    return box
