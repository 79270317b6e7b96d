"""Checks that the folders of a job are in this worker's data root, which may not be mounted."""

import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from shared.domain.errors import FolderMissing
from shared.domain.paths import DATA_ROOT, RootPath, printable


def check_job_folder(root: Path, folder: RootPath) -> None:
    """FolderMissing if the job's folder does not exist, cannot be opened, or is empty.

    A missing mount looks like an empty folder, and a producer never enqueues an empty folder.
    """
    path = root / folder
    try:
        path.stat()
        if not path.is_dir():
            raise _missing(root, folder, "is not a folder")
        with os.scandir(path) as entries:
            if not list(islice(entries, 1)):
                raise _missing(root, folder, "is empty")
    except PermissionError as error:
        # The files of a folder can be read even if it cannot be listed.
        if not os.access(path, os.X_OK):
            raise _missing(root, folder, f"cannot be opened ({error.strerror})") from None
    except OSError as error:
        raise _missing(root, folder, f"cannot be opened ({error.strerror})") from None


def find_missing_folder(root: Path, images: Iterable[RootPath]) -> RootPath | None:
    """The first missing folder of these images; None if all exist."""
    for parent in dict.fromkeys(RootPath(image.rpartition("/")[0] or DATA_ROOT) for image in images):
        path = root / parent
        try:
            path.stat()
        except PermissionError:
            continue  # it exists, and other workers would get the same error
        except OSError:
            return parent
        if not path.is_dir():
            return parent
    return None


def folder_missing(root: Path, folder: RootPath) -> FolderMissing:
    """The error for a missing folder."""
    return _missing(root, folder, "is not there")


def _missing(root: Path, folder: RootPath, how: str) -> FolderMissing:
    what = f"the folder '{printable(folder)}' in its data root" if folder != DATA_ROOT else "its data root"
    return FolderMissing(f"{what} {root.resolve()} {how}; mount the images there, or set FACEQUEUE_DATA_ROOT")
