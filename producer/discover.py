"""Finds the files of a folder in a stable order, directory by directory."""

import os
from collections.abc import Iterator
from pathlib import Path

Key = tuple[tuple[int, bytes], ...]


def find_images(folder: Path, after: str = "") -> Iterator[str]:
    """Relative paths, with `/`, of every regular file that is not hidden; those behind `after` where it is given.

    A directory's files come first, then its subdirectories, both sorted by the bytes of their names. At most the names
    of one directory are held, and of those above it the subdirectories still to come. Symbolic links to files count as
    files; links to directories are not followed, since they can lead in circles. An unreadable directory raises OSError.
    """
    yield from _walk(folder, "", order_key(after) if after else ())


def order_key(path: str) -> Key:
    """Sorts paths as `find_images` yields them."""
    *directories, name = path.split("/")
    return (*((1, os.fsencode(part)) for part in directories), (0, os.fsencode(name)))


def _walk(folder: Path, prefix: str, after: Key) -> Iterator[str]:
    files: list[str] = []
    directories: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
            elif entry.is_file():
                files.append(entry.name)
    here, below = (after[0], after[1:]) if after else ((0, b""), ())
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
