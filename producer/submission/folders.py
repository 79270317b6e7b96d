"""The folder that a job is made of, checked before anything is sent."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from producer.submission.discovery import find_images
from shared.domain.errors import InvalidRequest
from shared.domain.paths import RootPath


class FolderOutsideDataRoot(InvalidRequest):
    """A folder is to be enqueued that workers cannot open."""

    def __init__(self, folder: Path, root: Path) -> None:
        super().__init__(
            f"{folder} is not inside the data root {root}. Workers open nothing outside it, not even through a "
            "symbolic link. Move or mount the images there, or set FACEQUEUE_DATA_ROOT (for the workers too)."
        )


def check_folder(folder: Path) -> Path:
    """The folder's real path; InvalidRequest if it is not a folder, cannot be read or has no file."""
    with _os_errors_explained():
        real = check_folder_exists(folder)
        if next(find_images(folder), None) is None:
            raise InvalidRequest(f"The folder {folder} has no files (hidden files do not count).")
    return real


def check_folder_exists(folder: Path) -> Path:
    """The folder's real path; InvalidRequest if it is not a folder."""
    with _os_errors_explained():
        if not folder.exists():
            raise InvalidRequest(f"There is no folder {folder}.")
        if not folder.is_dir():
            raise InvalidRequest(f"{folder} is not a folder. Give the folder that the images are in.")
        return folder.resolve()


@contextmanager
def _os_errors_explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidRequest(f"The folder {error.filename} cannot be read: {error.strerror}.") from None


def folder_in_root(folder: Path, root: Path) -> RootPath:
    """The folder relative to the data root; FolderOutsideDataRoot if it is not inside."""
    real_root = root.resolve()
    if folder != real_root and real_root not in folder.parents:
        raise FolderOutsideDataRoot(folder, real_root)
    return RootPath(folder.relative_to(real_root).as_posix())
