"""A face with a name in an image, as sidecars have it."""

from dataclasses import dataclass

from shared.domain.orientation import Area


@dataclass(frozen=True, slots=True)
class Region:
    """The face of a person."""

    name: str
    area: Area
    """In the image as it is stored, before EXIF orientation turns it: the guidelines of the Metadata Working Group say
    so (5.9), and digiKam and Immich turn the area with the image.
    """


@dataclass(frozen=True, slots=True)
class Described:
    """What a sidecar says of an image."""

    regions: tuple[Region, ...]
    """Faces with names, in the sidecar's order."""
    size: tuple[int, int] | None = None
    """Width and height of the stored image that the regions were made for; None if the sidecar does not say."""
    orientation: int | None = None
    """EXIF orientation, 1 to 8; None if the sidecar does not say."""
    faulty: int = 0
    """How many faces with names have no valid area."""
