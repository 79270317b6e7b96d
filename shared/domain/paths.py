"""Paths of images, in the three forms that are never mixed: below the data root, below a job's folder, and as shown."""

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
"""Relative to the data root, with `/`, as on the disk: bytes that are not UTF-8 are surrogates. Messages and blocks
hold these.
"""
FolderPath = NewType("FolderPath", str)
"""Relative to the folder of a job, otherwise the same. A walk yields these."""
ShownPath = NewType("ShownPath", str)
"""A `FolderPath` in one line of printable UTF-8, as tables, reports and messages show it. Its bytes may be lost."""
DATA_ROOT = RootPath(".")
"""The data root itself."""


def check_relative(value: object) -> RootPath:
    """The value, if it can be a path below a folder; else ValueError says why not. `.` is the folder itself.

    Names that are not UTF-8 pass: their bytes are surrogates, as `os.fsdecode` makes them. Other surrogates stand for
    no byte.
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
    """A path in a folder, as seen from the data root."""
    return RootPath(path if folder == DATA_ROOT else f"{folder}/{path}")


def below_folder(folder: RootPath, path: RootPath) -> FolderPath:
    """The inverse of `below_root`; a path that is not in the folder stays as it is."""
    return FolderPath(path if folder == DATA_ROOT else path.removeprefix(f"{folder}/"))


def resolve_inside(root: Path, relative: RootPath | FolderPath) -> Path:
    """The file's real path, symbolic links resolved.

    LinkedFolder for a link that the walk left alone (`link/`), OutsideDataRoot for a path that is not below `root`,
    OSError for a circle.
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


def show_path(path: FolderPath) -> ShownPath:
    """The path as people see it."""
    return ShownPath(printable(path))


def path_of_shown(shown: ShownPath) -> FolderPath:
    """The path that is probably shown so. Another file may look the same: whoever opens it compares the digest."""
    return FolderPath(shown)


def printable(raw: str) -> str:
    """The text in one line of valid UTF-8: bytes that are none become `\\xNN`, control characters `\\n`, `\\x1b`,
    ...
    """
    try:
        text = os.fsencode(raw).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte: JSON can hold it
        text = raw.encode("utf-8", "backslashreplace").decode()
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def pack_paths(paths: Sequence[RootPath]) -> str:
    """Paths as the job record keeps them; names that are not UTF-8 survive."""
    return json.dumps(paths, separators=(",", ":"))


def unpack_paths(packed: bytes | str | None) -> list[RootPath]:
    """The inverse of `pack_paths`; ValueError for what it never makes."""
    paths = None if packed is None else parse_json(packed)
    if not isinstance(paths, list):
        raise ValueError("not a list of paths")
    return [check_relative(path) for path in paths]
