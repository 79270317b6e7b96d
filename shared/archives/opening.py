"""Opens archives of every kind, and finds the archive in the path of a member."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from shared.archives.members import ArchiveError, ArchiveReader
from shared.archives.streams import SIGNATURES, CompressedStream, FileStream
from shared.archives.tar_reader import TarReader
from shared.archives.zip_reader import ZipReader

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")
_ZIPS = (b"PK\3\4", b"PK\5\6")
_HEAD_BYTES = 6
P = TypeVar("P", bound=str)


@dataclass(frozen=True)
class Version:
    """Which version of an archive this is: its file has these."""

    size: int
    mtime_ns: int


def is_archive(path: str) -> bool:
    """Whether the name is that of an archive."""
    return path.lower().endswith(SUFFIXES)


def archive_of(root: Path, path: P) -> P | None:
    """The archive that a member's path begins with (`shard.tar` of `shard.tar/a.jpg`); None if it is not in any."""
    if not any(suffix in path.lower() for suffix in SUFFIXES):
        return None
    parts = path.split("/")
    for k in range(1, len(parts)):
        prefix = "/".join(parts[:k])
        if is_archive(prefix) and not (root / prefix).is_dir():
            return type(path)(prefix)
    return None


def version_of(path: Path) -> Version:
    """The version of the archive that is there now; OSError if there is none."""
    found = path.stat()
    return Version(found.st_size, found.st_mtime_ns)


class OpenArchive:
    """An archive that is open, and was opened as this version."""

    def __init__(self, path: Path, beat: Callable[[], object] = lambda: None) -> None:
        """OSError or ArchiveError if it cannot be opened. `beat` is called now and then while much is skipped."""
        # Without waiting for a writer, should it be a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._file = os.fdopen(descriptor, "rb")
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise ArchiveError("not a regular file")
            self.path, self.version = path, Version(found.st_size, found.st_mtime_ns)
            self.reader = _reader(self._file, beat)
        except BaseException:
            self._file.close()
            raise

    @property
    def is_unchanged(self) -> bool:
        """Whether the open file is the version that was opened."""
        found = os.fstat(self._file.fileno())
        return Version(found.st_size, found.st_mtime_ns) == self.version

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> "OpenArchive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _reader(file: IO[bytes], beat: Callable[[], object]) -> ArchiveReader:
    """The reader for the archive's kind, which its first bytes tell, whatever its name is."""
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    if head.startswith(_ZIPS):
        return ZipReader(file)
    for signature, kind in SIGNATURES.items():
        if head.startswith(signature):
            return TarReader(CompressedStream(file, kind, beat))
    return TarReader(FileStream(file))
