"""The options of a job that are not part of the contract. They are read back from a server that others can write to."""

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, TypeAdapter, ValidationError

from shared.domain.embedders import MOST_WORDS
from shared.domain.locations import check_canonical
from shared.domain.paths import RootPath, check_relative, printable
from shared.domain.validation import explain

MOST_IMAGES = 1024
"""The maximum number of images in a batch."""


MOST_NEIGHBORS = 1024
DEFAULT_NEIGHBORS = 64
MOST_REPORT_FACES = 10_000_000
DEFAULT_REPORT_FACES = 20_000

WhenDistances = Literal["auto", "full", "none"]
"""Whether the distance matrix is written: always, never, or unless it is too large."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a job that are not part of the contract."""

    # Not pydantic's `str`, which refuses the surrogates of names that are not UTF-8.
    folder: Annotated[RootPath, PlainValidator(check_relative)]
    """The enqueued folder; `.` if the images are inline or objects."""
    batch_size: Annotated[int, Field(strict=True, ge=1, le=MOST_IMAGES)]
    distances: WhenDistances
    neighbors: Annotated[int, Field(strict=True, ge=0, le=MOST_NEIGHBORS)] = DEFAULT_NEIGHBORS
    """How many nearest neighbors of each face are written; 0 for none, and no groups."""
    inline: Annotated[bool, Field(strict=True)] = False
    """Whether the images are inline, that is, travel through the server (`shared.store.image_payloads`)."""
    report: Annotated[bool, Field(strict=True)] = True
    """Whether the aggregator writes a report."""
    report_faces: Annotated[int, Field(strict=True, ge=0, le=MOST_REPORT_FACES)] = DEFAULT_REPORT_FACES
    """How many faces of a large report have a thumbnail."""
    files: Annotated[str, AfterValidator(printable)] = ""
    """The list of paths that the job was made of, as the producer was given it, for display; empty if it has none."""
    files_digest: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")] = ""
    """BLAKE2b-128 of that list's paths."""
    location: Annotated[str, AfterValidator(check_canonical)] = ""
    """The URL prefix that the images are below; empty if they are files or inline."""
    archives: Annotated[bool, Field(strict=True)] = False
    """Whether the images of archives (tar, zip) belong to the job, not the archives."""

    model_license: Annotated[str, Field(max_length=MOST_WORDS), AfterValidator(printable)] = ""
    """The license of a model of the user's own, in words; empty for those that facequeue knows."""
    model_origin: Annotated[str, Field(max_length=MOST_WORDS), AfterValidator(printable)] = ""
    """Who made it, of what; as above."""

    replaces: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")] = ""
    """The uid of earlier results that the job may replace, whatever their origin."""
    update: Annotated[bool, Field(strict=True)] = False
    """Whether known images are taken from those results."""

    def as_dict(self) -> dict[str, Any]:
        """The options as a JSON object, without those that are not used.

        So workers of before an option was added still read the records of jobs that do not use it, and can say in what
        else they differ.
        """
        return {name: value for name, value in vars(self).items() if value or name not in _UNUSED}

    @staticmethod
    def from_dict(values: Any) -> "Options":
        """The inverse of `as_dict`; ValueError if `values` are not options. Nothing about `values` is trusted."""
        if not isinstance(values, dict):
            raise ValueError("options: not an object")
        if unknown := sorted(ascii(name)[:40] for name in values.keys() - _NAMES):
            raise ValueError(f"options: unknown {', '.join(unknown[:3])}")
        try:
            return _OPTIONS.validate_python(values)
        except ValidationError as error:
            raise ValueError(f"options: {explain(error)}") from None


_NAMES = {field.name for field in fields(Options)}
_UNUSED = {field.name for field in fields(Options) if field.default in ("", False)}
"""Options whose default says that they are not used. That meaning never changes; other defaults may."""
_OPTIONS = TypeAdapter(Options)
