"""Paths of images in three forms that are never mixed: relative to the data root, relative to a job's folder, and
shown.
"""

import errno
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NewType

from shared.domain.errors import LinkedFolder, OutsideDataRoot
from shared.domain.text import parse_json

RootPath = NewType("RootPath", str)
"""A path relative to the data root, with `/`, as on disk: bytes that are not UTF-8 are surrogates. Messages and blocks
hold these.
"""
FolderPath = NewType("FolderPath", str)
"""A path relative to a job's folder, otherwise the same. The folder walk yields these."""
ShownPath = NewType("ShownPath", str)
"""A `FolderPath` as one line of printable UTF-8, for tables, reports and messages. Its original bytes may be lost."""
DATA_ROOT = RootPath(".")
"""The data root itself."""


def check_relative(value: object) -> RootPath:
    """Returns the value if it is a valid path below a folder; ValueError says why not. `.` is the folder itself.

    Names that are not UTF-8 are valid: their bytes are surrogates, as `os.fsdecode` makes them. Other surrogates stand
    for no byte and are refused.
    """
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("not a path")
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError("path leads out of the data root")
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        raise ValueError("path holds a surrogate that no file name can hold") from None
    return RootPath(value)


def below_root(folder: RootPath, path: FolderPath) -> RootPath:
    """The path of a file in a folder, relative to the data root."""
    return RootPath(path if folder == DATA_ROOT else f"{folder}/{path}")


def below_folder(folder: RootPath, path: RootPath) -> FolderPath:
    """The inverse of `below_root`. A path that is not in the folder is returned unchanged."""
    return FolderPath(path if folder == DATA_ROOT else path.removeprefix(f"{folder}/"))


def resolve_inside(root: Path, relative: RootPath | FolderPath) -> Path:
    """The file's real path, with symbolic links resolved.

    Raises LinkedFolder for a link that the folder walk did not follow (`link/`), OutsideDataRoot for a path that is not
    below `root`, and OSError for a cycle of links.
    """
    real_root = root.resolve()
    if relative.endswith("/") and (real_root / relative).is_symlink():
        raise LinkedFolder
    try:
        real = (real_root / relative).resolve()
    except RuntimeError:  # pathlib's error for a cycle of links
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), relative) from None
    if real != real_root and real_root not in real.parents:
        raise OutsideDataRoot("leads out of the data root")
    return real


# Control characters and other line ends: they would break tables and control a terminal.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def show_path(path: FolderPath) -> ShownPath:
    """The path in printable form."""
    return ShownPath(printable(path))


def path_of_shown(shown: ShownPath) -> FolderPath:
    """The path that is probably shown this way. Another file may look the same, so the caller compares the digest."""
    return FolderPath(shown)


def printable(raw: str) -> str:
    """The text as one line of valid UTF-8: invalid bytes as `\\xNN`, control characters as `\\n`, `\\x1b`, ..."""
    try:
        text = os.fsencode(raw).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte, which JSON can contain
        text = raw.encode("utf-8", "backslashreplace").decode()
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def pack_paths(paths: Sequence[RootPath]) -> str:
    """Paths as the job record stores them. Names that are not UTF-8 survive."""
    return json.dumps(paths, separators=(",", ":"))


def unpack_paths(packed: bytes | str | None) -> list[RootPath]:
    """The inverse of `pack_paths`; ValueError for anything else."""
    paths = None if packed is None else parse_json(packed)
    if not isinstance(paths, list):
        raise ValueError("not a list of paths")
    return [check_relative(path) for path in paths]
