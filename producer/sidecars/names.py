"""What sidecars are called: `photo.jpg.xmp` or `photo.xmp`."""

from collections import Counter
from collections.abc import Iterable, Set
from enum import StrEnum
from pathlib import PurePosixPath

from shared.domain.paths import FolderPath

SUFFIX = ".xmp"


class Naming(StrEnum):
    """How the name of a sidecar is made of that of its image."""

    FULL = "full"
    """`photo.jpg.xmp`, as digiKam, darktable and Immich name them."""
    STEM = "stem"
    """`photo.xmp`, as Adobe's programs name them."""


def sidecar_name(image: FolderPath, naming: Naming) -> FolderPath:
    """The path of the image's sidecar in a tree like that of the images."""
    if naming is Naming.FULL:
        return FolderPath(image + SUFFIX)
    folder, slash, name = image.rpartition("/")
    return FolderPath(folder + slash + PurePosixPath(name).stem + SUFFIX)


def shared_names(images: Iterable[FolderPath], wanted: Set[FolderPath]) -> set[FolderPath]:
    """Of the sidecars `wanted`, named after stems, those that would belong to more than one of the images."""
    counts: Counter[FolderPath] = Counter()
    for image in images:
        if (name := sidecar_name(image, Naming.STEM)) in wanted:
            counts[name] += 1
    return {name for name, count in counts.items() if count > 1}
