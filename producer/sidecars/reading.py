"""Reads the faces with names from a sidecar: regions of the Metadata Working Group, otherwise those of Microsoft."""

from collections.abc import Iterable
from math import isfinite

from producer.sidecars.properties import Value, items, properties, structure, text
from producer.sidecars.region import Described, Region
from producer.sidecars.vocabulary import (
    AREA,
    DIMENSIONS,
    FACE,
    MICROSOFT,
    MICROSOFT_REGION,
    MICROSOFT_REGION_INFO,
    MWG_REGIONS,
    TIFF,
)
from shared.domain.orientation import Area

_IGNORED = "ffffffffffffffff"
"""What Windows Live Photo Gallery calls a face that is to be ignored."""


def described(content: bytes) -> Described:
    """What the sidecar says. NotParsed if it is no XMP."""
    found = properties(content)
    regions = structure(found.get((MWG_REGIONS, "Regions")))
    named = list(_mwg(regions))
    if not named:
        named = list(_microsoft(structure(found.get((MICROSOFT, "RegionInfo")))))
    return Described(
        tuple(Region(name, area) for name, area in named if area is not None),
        _size(structure(regions.get((MWG_REGIONS, "AppliedToDimensions")))),
        _orientation(text(found.get((TIFF, "Orientation")))),
        sum(area is None for _, area in named),
    )


def _mwg(regions: dict[tuple[str, str], Value]) -> Iterable[tuple[str, Area | None]]:
    """The name and area of every face that has a name; None for an area that is not valid."""
    for item in items(regions.get((MWG_REGIONS, "RegionList"))):
        region = structure(item)
        name = text(region.get((MWG_REGIONS, "Name")))
        if name and text(region.get((MWG_REGIONS, "Type"))) == FACE:
            area = structure(region.get((MWG_REGIONS, "Area")))
            unit = text(area.get((AREA, "unit"))) or "normalized"
            sides = [text(area.get((AREA, side))) for side in "xywh"]
            yield name, _area(sides) if unit == "normalized" else None


def _microsoft(info: dict[tuple[str, str], Value]) -> Iterable[tuple[str, Area | None]]:
    for item in items(info.get((MICROSOFT_REGION_INFO, "Regions"))):
        region = structure(item)
        name = text(region.get((MICROSOFT_REGION, "PersonDisplayName")))
        if name and name != _IGNORED:
            corner = _area(text(region.get((MICROSOFT_REGION, "Rectangle"))).split(","))
            # A person without a rectangle is somewhere in the image.
            yield name, corner and Area(corner.x + corner.width / 2, corner.y + corner.height / 2, *corner[2:])


def _area(sides: list[str]) -> Area | None:
    try:
        area = Area(*map(float, sides))
    except (ValueError, TypeError):
        return None
    if not all(map(isfinite, area)) or not (0 < area.width <= 1 and 0 < area.height <= 1):
        return None
    return area if abs(area.x) <= 1 and abs(area.y) <= 1 else None


def _size(dimensions: dict[tuple[str, str], Value]) -> tuple[int, int] | None:
    try:
        width, height = (int(float(text(dimensions.get((DIMENSIONS, side))))) for side in "wh")
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _orientation(value: str) -> int | None:
    return int(value) if value in {"1", "2", "3", "4", "5", "6", "7", "8"} else None
