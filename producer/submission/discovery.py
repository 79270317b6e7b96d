"""Finds the files of a folder in a stable order, directory by directory."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from shared.domain.paths import FolderPath

Key = tuple[tuple[int, bytes], ...]
_MARKER: Key = ((0, b""),)
"""Key of the path that stands for a directory that cannot be listed: it sorts before everything in the directory."""
_NOTHING: Key = ()


def find_images(folder: Path, after: FolderPath | None = None) -> Iterator[FolderPath]:
    """Yields the path of every regular file that is not hidden; with `after`, only of those that come after it.

    A directory's files come first, then its subdirectories, both sorted by the bytes of their names. Memory holds at
    most the names of one directory, and the remaining subdirectories of those above it. A symbolic link to a file is a
    file, even if its target is missing or it leads in a circle. A subdirectory that cannot be listed, or that is a
    symbolic link, is yielded itself, with a `/` at its end, so that its files are not missing silently. OSError if
    `folder` cannot be listed.
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
    """The remaining ones, last first: the name, and whether it is a link."""
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
    """The mode of an entry, or of a link's target. Without a target it is a file, and the worker says why."""
    try:
        if entry.is_dir(follow_symlinks=False):
            return stat.S_IFDIR
        return entry.stat().st_mode
    except OSError:  # a link to nothing or in a circle, a deleted file, a path that is too long
        return stat.S_IFREG


def _behind(files: list[str], after: tuple[int, bytes]) -> Iterator[str]:
    return (name for name in files if (0, os.fsencode(name)) > after)
