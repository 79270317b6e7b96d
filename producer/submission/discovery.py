"""Finds the files of a folder in a stable order, directory by directory."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from shared.domain.paths import FolderPath

Key = tuple[tuple[int, bytes], ...]
_MARKER: Key = ((0, b""),)
"""Key of what stands for a directory that cannot be listed: before all that could be in it."""
_NOTHING: Key = ()


def find_images(folder: Path, after: FolderPath | None = None) -> Iterator[FolderPath]:
    """Relative paths, with `/`, of every regular file that is not hidden; those behind `after` where it is given.

    A directory's files come first, then its subdirectories, both sorted by the bytes of their names. At most the names
    of one directory are held, and of those above it the subdirectories still to come. Symbolic links to files count as
    files, also those that lead nowhere or in a circle. A subdirectory that cannot be listed, or that is a symbolic link,
    is yielded itself with a `/` behind it, in the place of its files, so that they are not missing in silence; `folder`
    raises OSError.
    """
    here = order_key(after) if after is not None else _MARKER
    files, below = _list(folder)
    yield from map(FolderPath, _behind(files, here[0]))
    pending = [_Level("", below, here)]
    while pending:
        level = pending[-1]
        if not level.subfolders:
            pending.pop()
            continue
        name, linked = level.subfolders.pop()
        key, path = (1, os.fsencode(name)), f"{level.prefix}{name}/"
        if key < level.after[0]:
            continue
        rest = level.after[1:] if key == level.after[0] else _NOTHING
        try:
            files, below = ([], []) if linked else _list(folder / path)
        except OSError:
            linked = True
        if linked:
            if rest != _MARKER:
                yield FolderPath(path)
            continue
        here = rest or _MARKER
        for file in _behind(files, here[0]):
            yield FolderPath(path + file)
        pending.append(_Level(path, below, here))


def order_key(path: FolderPath) -> Key:
    """Sorts paths as `find_images` yields them."""
    *directories, name = path.split("/")
    return (*((1, os.fsencode(part)) for part in directories), (0, os.fsencode(name)))


class _Level(NamedTuple):
    """A directory whose files have been yielded."""

    prefix: str
    subfolders: list[tuple[str, bool]]
    """Those still to come, last first: the name, and whether it is a link."""
    after: Key


def _list(folder: Path) -> tuple[list[str], list[tuple[str, bool]]]:
    """A folder's files, sorted, and its subfolders, sorted backward."""
    files: list[str] = []
    subfolders: list[tuple[str, bool]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            mode = _mode(entry)
            if stat.S_ISDIR(mode):
                subfolders.append((entry.name, entry.is_symlink()))
            elif stat.S_ISREG(mode):
                files.append(entry.name)
    files.sort(key=os.fsencode)
    subfolders.sort(key=lambda subfolder: os.fsencode(subfolder[0]), reverse=True)
    return files, subfolders


def _mode(entry: "os.DirEntry[str]") -> int:
    """The mode of what a link leads to. What cannot be looked at counts as a file: the worker says why."""
    try:
        if entry.is_dir(follow_symlinks=False):
            return stat.S_IFDIR
        return entry.stat().st_mode
    except OSError:  # a link to nothing or in a circle, a file that is gone, a path that is too long
        return stat.S_IFREG


def _behind(files: list[str], after: tuple[int, bytes]) -> Iterator[str]:
    return (name for name in files if (0, os.fsencode(name)) > after)
