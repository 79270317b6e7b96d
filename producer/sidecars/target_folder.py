"""A folder that gets a tree of sidecars: nothing is written outside it, and nothing in it is replaced unasked."""

import errno
import os
from enum import Enum, auto
from pathlib import Path

from shared.domain.durable_files import replace_content, sync_to_disk
from shared.domain.errors import InvalidRequest
from shared.domain.paths import FolderPath, check_relative, printable
from shared.results.files import open_regular
from shared.results.schema import EMBEDDINGS, SUMMARY


class Written(Enum):
    """What became of a sidecar."""

    NEW = auto()
    SAME = auto()
    """It was there with these bytes."""
    KEPT = auto()
    """Another file was there, and was left as it is."""


def check_target(target: Path, images: Path) -> None:
    """InvalidRequest if sidecars must not be written to `target`: the originals and results are not for them."""
    shown = printable(str(target))
    real, originals = _real(target), images.resolve()
    if real == originals or originals in real.parents or real in originals.parents:
        relation = "is in" if real == originals or originals in real.parents else "contains"
        raise InvalidRequest(
            f"--to {shown} {relation} the folder of the images, {printable(str(images))}, and nothing is written "
            "there. Give another folder, and copy the sidecars yourself."
        )
    check_outside_results(target)


def check_outside_results(target: Path) -> None:
    """InvalidRequest if the file or folder is in the results folder of a job."""
    real = _real(target)
    for folder in (real, *real.parents):
        if _has_results(folder):
            raise InvalidRequest(
                f"--to {printable(str(target))} is in the results folder {printable(str(folder))}, which updates "
                "replace. Give another folder."
            )


def _real(target: Path) -> Path:
    try:
        return target.resolve()
    except RuntimeError:  # pathlib's error for a cycle of links
        raise InvalidRequest(f"--to {printable(str(target))} is a link to itself. Give another folder.") from None


def _has_results(folder: Path) -> bool:
    return (folder / SUMMARY).is_file() and (folder / EMBEDDINGS).is_file()


class SidecarFolder:
    """Writes sidecars. Close it: then their names are on the disk too."""

    def __init__(self, root: Path, *, overwrite: bool) -> None:
        """Makes the folder. OSError as from the system."""
        root.mkdir(parents=True, exist_ok=True)
        self._root, self._overwrite = root.resolve(), overwrite
        self._folder: Path | None = None  # that of the sidecar before: images come folder by folder
        self._unsynced: set[Path] = set()

    def write(self, name: FolderPath, content: bytes) -> Written:
        """Writes one sidecar, whole or not at all. OSError says why it cannot be written."""
        path = self._root / check_relative(name)
        self._make_folder(path.parent)
        if os.path.lexists(path):
            if _content(path, len(content)) == content:
                return Written.SAME
            if not self._overwrite:
                return Written.KEPT
        replace_content(path, content)
        self._unsynced.add(path.parent)
        return Written.NEW

    def close(self) -> None:
        """Syncs the names of what was written."""
        for folder in self._unsynced:
            sync_to_disk(folder)
        self._unsynced.clear()

    def _make_folder(self, folder: Path) -> None:
        """Makes the folder and those above it. OSError if one of them is a link, which could lead to the originals, or
        has results.
        """
        if folder == self._folder:
            return
        self.close()
        place = self._root
        for part in folder.relative_to(self._root).parts:
            above, place = place, place / part
            try:
                place.mkdir()
                self._unsynced.add(above)
            except FileExistsError:
                if place.is_symlink():
                    raise OSError(errno.ELOOP, "its folder is a symbolic link", str(place)) from None
                if not place.is_dir():
                    raise OSError(errno.ENOTDIR, "a file has the name of its folder", str(place)) from None
                if _has_results(place):
                    raise OSError(errno.EPERM, "its folder has the results of a job", str(place)) from None
        self._folder = folder


def _content(path: Path, expected: int) -> bytes | None:
    """What the file has, up to one byte more than expected; None if it is no regular file or cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read(expected + 1)
    except OSError:
        return None
