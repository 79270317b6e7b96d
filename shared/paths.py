"""Paths of images: relative to the data root, never out of it."""

import os
from pathlib import Path

from shared.errors import OutsideDataRoot


def resolve_inside(root: Path, relative: str) -> Path:
    """The file's real path, symbolic links resolved; OutsideDataRoot if that is not below `root`."""
    real_root = root.resolve()
    real = (real_root / relative).resolve()
    if real != real_root and real_root not in real.parents:
        raise OutsideDataRoot("leads out of the data root")
    return real


def printable(path: str) -> str:
    """The path in valid UTF-8: bytes that are not become \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
