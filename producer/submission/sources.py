"""What a job's images come from: the interface of all sources, and the choice of one for a command line."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from shared.domain.errors import InvalidRequest
from shared.domain.locations import is_url
from shared.domain.paths import FolderPath, RootPath


class MemberPlace(NamedTuple):
    """Where an image is in an archive."""

    archive: FolderPath
    size: int
    """Of the archive, in bytes."""
    mtime_ns: int
    """When the archive last changed, in ns since 1970."""
    place: int
    """Where the member begins (`shared.archives.members.Member`)."""


class Found(NamedTuple):
    """One image that a source has found."""

    path: FolderPath
    size: int | None = None
    """In bytes. Only with `status`, and None for a file whose status cannot be read."""
    mtime_ns: int | None = None
    """When the file last changed, in ns since 1970. Only with `status`, as the size."""
    member: MemberPlace | None = None
    """Where it is in an archive; None if it is a file of its own."""


@dataclass(frozen=True)
class Listing:
    """The list of paths that a job is made of."""

    name: str
    """The list as it was given on the command line: a file, or `-` for standard input."""
    digest: str
    """BLAKE2b-128 of its paths, as hexadecimal digits."""


class Source(Protocol):
    """The images of a job, in an order that stays the same."""

    @property
    def shown(self) -> str:
        """The source as the job record and the results name it."""

    @property
    def identity(self) -> str:
        """What the job's origin contains: sources with the same identity can be the same job, at different times."""

    @property
    def stem(self) -> str:
        """What a generated job name begins with."""

    @property
    def folder(self) -> Path:
        """The folder that the paths are relative to, with links resolved."""

    @property
    def location(self) -> str:
        """The URL prefix that the images are below; empty if they are files."""

    @property
    def archives(self) -> bool:
        """Whether members of archives are images of the job."""

    @property
    def listing(self) -> Listing | None:
        """The list of the paths; None if the source finds them itself. An unfinished job resumes with the same list."""

    def folder_below(self, data_root: Path) -> RootPath:
        """The folder, relative to the data root; InvalidRequest if workers could not read there."""

    def find(self, after: FolderPath | None = None, *, status: bool = False) -> Iterator[Found]:
        """Yields every image; with `after`, only those that come after it. With `status`, also size and time.

        Memory does not grow with the number of images.
        """

    def digest(self, path: FolderPath) -> str | None:
        """BLAKE2b-128 of an image's bytes; None if they cannot be read, or not here."""

    def pack(self, path: FolderPath, max_bytes: int) -> bytes:
        """The bytes of an image, packed for the server (`shared.store.image_payloads`)."""


def open_source(given: str | Path | None, files: str | None, *, archives: bool = False) -> Source:
    """The source that the arguments of `run` and `enqueue` name; InvalidRequest if it has no images or cannot be read.

    `given` is the argument of the command line: a folder, an archive or a URL; `files` is the value of `--files`. A
    list is read to its end here. With `archives`, the archives that are found are read as folders.
    """
    from producer.submission.folder_source import FolderSource

    if given is not None and is_url(str(given)):
        from producer.submission.url_sources import open_url

        if archives:
            raise InvalidRequest("--archives reads archives in a folder, not below a URL.")
        return open_url(str(given), files)
    folder = None if given is None else Path(given)
    if files is not None:
        from producer.submission.list_source import ListSource

        return ListSource.of(folder or Path(), files, archives=archives)
    if folder is None:
        raise InvalidRequest("Give the folder with the images, or a list of paths with --files.")
    if os.path.isfile(folder):  # noqa: PTH113 - False where it cannot be looked at
        from producer.submission.archive_source import ArchiveSource

        return ArchiveSource.open(folder)
    return FolderSource.open(folder, archives=archives)
