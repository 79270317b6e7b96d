"""The images of a batch: plain files, or a stretch of one archive."""

import json
from collections.abc import Sequence
from typing import Annotated, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from shared.domain.paths import RootPath, check_relative
from shared.domain.text import parse_json

_MOST_BYTES = 1 << 62
"""Beyond that, no file has a byte."""
Place = Annotated[int, Field(ge=0, le=_MOST_BYTES)]


class Stretch(BaseModel):
    """Where a batch's images are in an archive. An archive whose size or time has changed is another one."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    # Not pydantic's `str`, which refuses the surrogates that stand for bytes of names that are not UTF-8.
    archive: Annotated[RootPath, PlainValidator(check_relative)]
    """The path of the archive. The images' paths are below it; one with this path stands for the rest of the archive,
    which could not be read when the job was made.
    """
    size: Annotated[int, Field(ge=0, le=_MOST_BYTES)]
    """In bytes."""
    mtime_ns: int
    places: list[Place]
    """Where the members begin (`shared.archives.members.Member`), in the order of the images."""

    def check(self, images: Sequence[RootPath]) -> Self:
        """Returns itself; ValueError if these images are not the stretch's."""
        if len(self.places) != len(images):
            raise ValueError(f"{len(self.places)} places of {len(images)} images")
        if not all(path == self.archive or path.startswith(f"{self.archive}/") for path in images):
            raise ValueError("an image that is not in the archive")
        return self


class Images(NamedTuple):
    """The images of a batch, as the job record stores them."""

    paths: list[RootPath]
    stretch: Stretch | None = None
    """Where they are in an archive; None if they are files of their own."""


def pack_images(images: Images) -> str:
    """The images as JSON: a list of paths, or an object if they are in an archive."""
    paths, stretch = images
    packed = paths if stretch is None else {"paths": paths, "stretch": stretch.model_dump()}
    return json.dumps(packed, separators=(",", ":"))


def unpack_images(packed: bytes | str | None) -> Images:
    """The inverse of `pack_images`; ValueError for anything else."""
    found, stretch = None if packed is None else parse_json(packed), None
    if isinstance(found, dict):
        stretch, found = Stretch.model_validate(found.get("stretch")), found.get("paths")
    if not isinstance(found, list):
        raise ValueError("not a list of paths")
    paths = [check_relative(path) for path in found]
    return Images(paths, None if stretch is None else stretch.check(paths))
