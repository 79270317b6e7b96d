"""One archive as the source of a job: its members."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from producer.submission.archive_members import check_archive, find_members
from producer.submission.folders import folder_in_root
from producer.submission.sources import Found, Listing
from shared.domain.errors import InvalidRequest
from shared.domain.paths import FolderPath, RootPath


@dataclass(frozen=True)
class ArchiveSource:
    """The members of an archive, below the folder that it is in."""

    path: Path
    """With links resolved."""
    listing: Listing | None = None
    archives: bool = True

    @classmethod
    def open(cls, path: Path) -> "ArchiveSource":
        """The source of an archive; InvalidRequest if it cannot be read or has no file."""
        return cls(check_archive(path))

    @property
    def location(self) -> str:
        """None."""
        return ""

    @property
    def shown(self) -> str:
        """The archive."""
        return str(self.path)

    @property
    def identity(self) -> str:
        """The archive."""
        return str(self.path)

    @property
    def stem(self) -> str:
        """The archive's name without its suffix."""
        return self.path.name.partition(".")[0]

    @property
    def folder(self) -> Path:
        """The folder that the archive is in."""
        return self.path.parent

    def folder_below(self, data_root: Path) -> RootPath:
        """The folder, relative to the data root; FolderOutsideDataRoot if it is not inside."""
        return folder_in_root(self.folder, data_root)

    def find(self, after: FolderPath | None = None, *, status: bool = False) -> Iterator[Found]:
        """Every member of the archive, always with its size and the archive's time."""
        return find_members(self.folder, FolderPath(self.path.name), after)

    def digest(self, path: FolderPath) -> str | None:
        """Members are not read here: size and time decide."""
        return None

    def pack(self, path: FolderPath, max_bytes: int) -> bytes:
        """Members cannot be sent."""
        raise InvalidRequest("Members of archives cannot be sent with --inline.")
