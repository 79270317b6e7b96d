"""Paths of images: relative to the data root, never out of it."""

import errno
import json
import os
import re
from pathlib import Path

from shared.domain.errors import LinkedFolder, OutsideDataRoot


def check_relative(value: object) -> str:
    """The value, if it can be a path below a folder; else ValueError says why not. Empty: the folder itself.

    Names that are not UTF-8 pass: their bytes are surrogates, as `os.fsdecode` makes them. Other surrogates stand for no byte.
    """
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("not a path")
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError("path leads out of the data root")
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        raise ValueError("path holds a surrogate that no file name can hold") from None
    return value


def resolve_inside(root: Path, relative: str) -> Path:
    """The file's real path, symbolic links resolved.

    LinkedFolder for a link that the walk left alone (`link/`), OutsideDataRoot for a path that is not below `root`, OSError
    for a circle.
    """
    real_root = root.resolve()
    if relative.endswith("/") and (real_root / relative).is_symlink():
        raise LinkedFolder
    try:
        real = (real_root / relative).resolve()
    except RuntimeError:  # what pathlib makes of links that lead in a circle
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), relative) from None
    if real != real_root and real_root not in real.parents:
        raise OutsideDataRoot("leads out of the data root")
    return real


# Control characters, and what else ends a line: they would tear tables apart and command a terminal.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def printable(path: str) -> str:
    """The path in one line of valid UTF-8: bytes that are none become `\\xNN`, control characters `\\n`, `\\x1b`, ..."""
    try:
        text = os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte: JSON can hold it
        text = path.encode("utf-8", "backslashreplace").decode()
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def pack_paths(paths: list[str]) -> str:
    """Paths as the job record keeps them; names that are not UTF-8 survive."""
    return json.dumps(paths, separators=(",", ":"))


def unpack_paths(packed: bytes | str) -> list[str]:
    """The inverse of `pack_paths`."""
    paths: list[str] = json.loads(packed)
    return paths
