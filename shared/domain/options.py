"""What the producer asked for beside the contract. It comes back from a server that others can write to."""

from dataclasses import dataclass, fields
from typing import Annotated, Any

from pydantic import Field, PlainValidator, TypeAdapter, ValidationError

from shared.domain.paths import RootPath, check_relative
from shared.domain.validation import explain

MOST_IMAGES = 1024
"""Images of the largest batch."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the producer asked for beside the contract."""

    # Not pydantic's `str`: it refuses the surrogates of names that are not UTF-8.
    folder: Annotated[RootPath, PlainValidator(check_relative)]
    """The folder enqueued; `.` where its images travel through the server."""
    batch_size: Annotated[int, Field(strict=True, ge=1, le=MOST_IMAGES)]
    distances: Annotated[str, Field(strict=True, pattern="^(full|none|auto)$")]
    inline: Annotated[bool, Field(strict=True)] = False
    """Whether the images travel through the server (`shared.store.image_payloads`)."""
    report: Annotated[bool, Field(strict=True)] = True
    """Whether the aggregator makes a report."""

    @staticmethod
    def from_dict(values: Any) -> "Options":
        """From `vars`; ValueError where that is not what it is. Nothing about `values` is trusted."""
        if not isinstance(values, dict):
            raise ValueError("options: not an object")
        if unknown := sorted(ascii(name)[:40] for name in values.keys() - _NAMES):
            raise ValueError(f"options: unknown {', '.join(unknown[:3])}")
        try:
            return _OPTIONS.validate_python(values)
        except ValidationError as error:
            raise ValueError(f"options: {explain(error)}") from None


_NAMES = {field.name for field in fields(Options)}
_OPTIONS = TypeAdapter(Options)
