"""The block of a batch of known images: which rows of the earlier results they have, instead of what was computed."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from shared.domain.paths import RootPath, check_relative
from shared.domain.text import parse_json

MOST_KEPT = 1024
"""The maximum number of images in such a block."""
_MAGIC = b"kept1 "
"""No other block begins like this."""


class KeptRow(NamedTuple):
    """A known image."""

    path: RootPath
    """Where it is now: it may have been moved."""
    row: int
    """Its row in the earlier `images.csv`."""
    size: int
    """In bytes, as it is now."""
    mtime_ns: int
    """When it last changed (`shared.domain.file_status`)."""


def pack_kept(rows: Sequence[KeptRow]) -> bytes:
    """The block of these images."""
    return _MAGIC + json.dumps(rows, separators=(",", ":")).encode()


def unpack_kept(block: bytes) -> list[KeptRow] | None:
    """The inverse of `pack_kept`; None for a block of computed images. ValueError if it is damaged."""
    if not block.startswith(_MAGIC):
        return None
    values = parse_json(block[len(_MAGIC) :])
    if not isinstance(values, list):
        raise ValueError("not a list of known images")
    return [_checked(value) for value in values]


def _checked(value: object) -> KeptRow:
    if not isinstance(value, list) or len(value) != len(KeptRow._fields):
        raise ValueError("not a known image")
    path, *numbers = value
    if not all(type(number) is int for number in numbers) or numbers[0] < 0 or numbers[1] < 0:
        raise ValueError("a known image without its row, size and time")
    return KeptRow(check_relative(path), *numbers)
