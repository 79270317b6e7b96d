"""The folder that a job is made of, checked before anything is sent."""

from pathlib import Path

from producer.submission.discovery import find_images
from shared.domain.errors import InvalidRequest
from shared.domain.job import Job
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
    try:
        if not folder.exists():
            raise InvalidRequest(f"There is no folder {folder}.")
        if not folder.is_dir():
            raise InvalidRequest(f"{folder} is not a folder. Give the folder that the images are in.")
        first = next(find_images(folder), None)
    except OSError as error:
        raise InvalidRequest(f"The folder {error.filename} cannot be read: {error.strerror}.") from None
    if first is None:
        raise InvalidRequest(f"The folder {folder} has no files (hidden files do not count).")
    return folder.resolve()


def folder_in_root(folder: Path, root: Path) -> RootPath:
    """The folder relative to the data root; FolderOutsideDataRoot if it is not inside."""
    real_root = root.resolve()
    if folder != real_root and real_root not in folder.parents:
        raise FolderOutsideDataRoot(folder, real_root)
    return RootPath(folder.relative_to(real_root).as_posix())


def folder_to_send(job: Job) -> Path | None:
    """The folder whose images a job sends through the server, or None if it sends none; InvalidRequest if it is
    missing.
    """
    if not job.options.inline:
        return None
    folder = Path(job.source)
    if not folder.is_dir():
        raise InvalidRequest(
            f"Job '{job.name}' sends its images through the server, and their folder {folder} is not on this machine. "
            "Repeat the command on the machine that has it."
        )
    return folder
