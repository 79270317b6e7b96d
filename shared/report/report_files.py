"""The folder with the files of a large report, beside its page: written under a hidden name, then renamed."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.domain.durable_files import sync_to_disk

SCRATCH = ".report."
"""Hidden names that begin so are leftovers of a report that was not finished."""


@contextmanager
def scratch_folder(results: Path) -> Iterator[Path]:
    """An empty hidden folder in the results folder, which is removed at the end if it is still there."""
    # An unpredictable name: nobody else can have made it.
    scratch = results / f"{SCRATCH}{os.getpid()}-{secrets.token_hex(8)}"
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def publish_files(scratch: Path, target: Path) -> str:
    """Renames the folder to `target/<digest of its files>`, synced to the disk, and returns that name.

    A page names the folder it was made with, so it never meets the files of another one. OSError as from the system.
    """
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(scratch.iterdir()):
        content = path.read_bytes()
        digest.update(path.name.encode() + len(content).to_bytes(8, "little") + content)
        sync_to_disk(path)
    sync_to_disk(scratch)
    if target.is_symlink() or not target.is_dir():  # not made by a report
        target.unlink(missing_ok=True)
        target.mkdir()
    named = target / digest.hexdigest()
    _remove(named)
    scratch.rename(named)
    sync_to_disk(target)
    return named.name


def remove_others(target: Path, name: str | None) -> None:
    """Removes the files of earlier reports: all but the folder `name`, or with None all."""
    if target.is_symlink() or not target.is_dir():
        return
    for path in target.iterdir():
        if path.name != name:
            _remove(path)
    if name is None:
        target.rmdir()


def remove_leftovers(results: Path) -> None:
    """Removes what unfinished reports have left. OSError is ignored."""
    for path in results.glob(f"{SCRATCH}*"):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
