"""A folder as the source of a job: every file that the walk finds."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from producer.submission.archive_members import find_members
from producer.submission.discovery import find_images
from producer.submission.folders import check_folder, folder_in_root
from producer.submission.sources import Found, Listing
from shared.archives.opening import archive_of, is_archive
from shared.domain.errors import InvalidRequest
from shared.domain.file_digests import image_digest
from shared.domain.job import Job
from shared.domain.paths import FolderPath, RootPath
from shared.store.image_payloads import pack_image


@dataclass(frozen=True)
class FolderSource:
    """The files of a folder."""

    folder: Path
    """With links resolved."""
    listing: Listing | None = None
    archives: bool = False

    @classmethod
    def open(cls, folder: Path, *, archives: bool = False) -> "FolderSource":
        """The source of a folder; InvalidRequest if it is not a folder, cannot be read or has no file."""
        return cls(check_folder(folder), archives=archives)

    @property
    def location(self) -> str:
        """None."""
        return ""

    @property
    def shown(self) -> str:
        """The folder."""
        return str(self.folder)

    @property
    def identity(self) -> str:
        """The folder, and whether archives are read."""
        return f"{self.folder}\0archives" if self.archives else str(self.folder)

    @property
    def stem(self) -> str:
        """The folder's name."""
        return self.folder.name

    def folder_below(self, data_root: Path) -> RootPath:
        """The folder, relative to the data root; FolderOutsideDataRoot if it is not inside."""
        return folder_in_root(self.folder, data_root)

    def find(self, after: FolderPath | None = None, *, status: bool = False) -> Iterator[Found]:
        """Every file of the folder (`find_images`), or the members of those that are archives."""
        archive = archive_of(self.folder, after) if self.archives and after is not None else None
        if archive is not None:
            yield from find_members(self.folder, archive, after)
        for path in find_images(self.folder, after if archive is None else archive):
            yield from self._images_of(path, status=status)

    def digest(self, path: FolderPath) -> str | None:
        """The digest of a file."""
        return file_digest(self.folder, path)

    def pack(self, path: FolderPath, max_bytes: int) -> bytes:
        """The bytes of a file, packed for the server."""
        return pack_image(self.folder, path, max_bytes)

    def _images_of(self, path: FolderPath, *, status: bool) -> Iterator[Found]:
        # What is no file, for example a link that leads nowhere, is an image that cannot be read.
        if self.archives and is_archive(path) and os.path.isfile(os.path.join(self.folder, path)):  # noqa: PTH113, PTH118
            yield from find_members(self.folder, path)
        else:
            yield with_status(self.folder, path) if status else Found(path)


def with_status(folder: Path, path: FolderPath) -> Found:
    """The file with its size and time; without them if its status cannot be read."""
    try:
        found = os.stat(os.path.join(folder, path))  # noqa: PTH116, PTH118 - a million times: a Path takes longer
    except OSError:
        return Found(path)
    return Found(path, found.st_size, found.st_mtime_ns)


def file_digest(folder: Path, path: FolderPath) -> str | None:
    """BLAKE2b-128 of a file; None if it is no regular file that can be read."""
    try:
        descriptor = os.open(folder / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would block
        with os.fdopen(descriptor, "rb") as file:
            return image_digest(file) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    except OSError:
        return None


def source_to_send(job: Job) -> FolderSource | None:
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
    return FolderSource(folder)
