"""Finds the files of a folder in a stable order, directory by directory."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

Key = tuple[tuple[int, bytes], ...]
_MARKER: Key = ((0, b""),)
"""Key of what stands for a directory that cannot be listed: before all that could be in it."""


def find_images(folder: Path, after: str = "") -> Iterator[str]:
    """Relative paths, with `/`, of every regular file that is not hidden; those behind `after` where it is given.

    A directory's files come first, then its subdirectories, both sorted by the bytes of their names. At most the names
    of one directory are held, and of those above it the subdirectories still to come. Symbolic links to files count as
    files, also those that lead nowhere or in a circle; links to directories are not followed. A subdirectory that cannot
    be listed is yielded itself, with a `/` behind it, so that its files are not missing in silence; `folder` raises OSError.
    """
    yield from _walk(folder, "", order_key(after) if after else ())


def order_key(path: str) -> Key:
    """Sorts paths as `find_images` yields them."""
    *directories, name = path.split("/")
    return (*((1, os.fsencode(part)) for part in directories), (0, os.fsencode(name)))


def _list(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the files and of the directories in a folder."""
    files: list[str] = []
    directories: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
            elif _counts_as_file(entry):
                files.append(entry.name)
    return files, directories


def _counts_as_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:  # a link to nothing or in a circle, a file that is gone: the worker says so
        return True


def _walk(folder: Path, prefix: str, after: Key) -> Iterator[str]:
    try:
        files, directories = _list(folder)
    except OSError:
        if not prefix:
            raise
        if after != _MARKER:
            yield prefix
        return
    here, below = after[0] if after else _MARKER[0], after[1:]
    for name in sorted(files, key=os.fsencode):
        if (0, os.fsencode(name)) > here:
            yield prefix + name
    del files
    directories.sort(key=os.fsencode, reverse=True)
    while directories:
        name = directories.pop()
        key = (1, os.fsencode(name))
        if key >= here:
            yield from _walk(folder / name, f"{prefix}{name}/", below if key == here else ())
