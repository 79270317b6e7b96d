"""Folders in the cache with a manifest of digests: made whole or not at all, and damage is noticed."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from shared.config.logs import get_logger
from shared.domain.errors import WeightsError
from shared.domain.file_digests import file_sha256
from shared.domain.weights_files import MANIFEST

_log = get_logger("weights")
FilesFound = dict[Path, tuple[int, int, int, int]]


def make_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Creates the folder, unless it exists undamaged; `fill` writes the files into a folder that is still hidden.

    Several processes may do it at once: one fills it, the others wait. OSError as from the disk.
    """
    if is_undamaged(folder):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f"{folder.name}.lock"):
        if is_undamaged(folder):
            return
        if folder.exists():
            _log.warning("%s is damaged and is made again", folder, extra={"action": "weights_damaged"})
            # A process that looks at the folder meanwhile still finds it damaged, and waits for the lock.
            shutil.rmtree(folder)
        for leftover in folder.parent.glob(f".making-{folder.name}~*"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".making-{folder.name}~", dir=folder.parent))
        try:
            fill(scratch)
            manifest = {file.name: file_sha256(file) for file in sorted(scratch.iterdir())}
            (scratch / MANIFEST).write_text(json.dumps(manifest, indent=1))
            scratch.chmod(0o755)
            scratch.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def check_folder(folder: Path) -> None:
    """WeightsError unless every file is as it was written."""
    damaged = _find_damaged(folder)
    if damaged is not None:
        raise WeightsError(f"{damaged} is missing or damaged. Remove {folder}; it is made again by itself.")


def is_undamaged(folder: Path) -> bool:
    """Whether the folder exists with every file as it was written."""
    return _find_damaged(folder) is None


def files_as_found(folder: Path) -> FilesFound:
    """The files of a folder by path with what shows a change: inode, size, times. Empty if it cannot be read."""
    try:
        found = {path: path.stat() for path in folder.iterdir()}
    except OSError:
        return {}
    return {path: (at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for path, at in found.items()}


def _find_damaged(folder: Path) -> Path | None:
    """The first file that has changed since it was written or cannot be read."""
    looked_at = folder / MANIFEST
    try:
        manifest = json.loads(looked_at.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict) or not manifest:
            return looked_at
        for file_name, sha256 in manifest.items():
            looked_at = folder / str(file_name)
            if file_sha256(looked_at) != sha256:
                return looked_at
    except (OSError, ValueError):  # ValueError: no JSON, no UTF-8
        return looked_at
    return None
