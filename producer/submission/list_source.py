"""A list of paths as the source of a job."""

import hashlib
import os
import tempfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from producer.submission.archive_members import find_members
from producer.submission.folder_source import FolderSource
from producer.submission.folders import check_folder_exists
from producer.submission.path_lists import STANDARD_INPUT, kept_entries, read_paths
from producer.submission.sources import Found, Listing
from shared.archives.opening import archive_of
from shared.domain.errors import InvalidRequest
from shared.domain.paths import FolderPath, printable

_KEY_BYTES = 8


class PathsOutside(InvalidRequest):
    """A list contains paths that are not in the folder."""

    def __init__(self, listing: str, folder: Path, line: int, path: str, count: int) -> None:
        others = f" and {count - 1} others are" if count > 1 else " is"
        super().__init__(
            f"--files {listing}: {printable(path)} (line {line}){others} not in the folder {folder}, and nothing "
            "outside it is opened. Give a folder that all paths are in."
        )


class ListChanged(InvalidRequest):
    """A list is not the one that an unfinished job was made of."""

    def __init__(self, job: str, listing: str) -> None:
        super().__init__(
            f"Job '{job}' is unfinished, and the list {listing} is not the one that it was made of. Give that list to "
            "resume it, or another --job."
        )


@dataclass(frozen=True, kw_only=True)
class ListSource(FolderSource):
    """The files that a list names, in its order. A path that occurs again is left out.

    Relative paths are relative to the folder. The paths are kept in a temporary file, because standard input can be
    read only once, and the list may change.
    """

    listing: Listing
    paths: IO[bytes]
    """A temporary file with the paths, relative to the folder, with NUL after each."""
    repeated: frozenset[bytes]
    """The keys of the paths that may occur more than once."""

    @classmethod
    def of(cls, folder: Path, name: str, *, archives: bool = False) -> "ListSource":
        """Reads a list. InvalidRequest if it cannot be read, is empty, or has a path that leads out of the folder."""
        real, given = check_folder_exists(folder), Path(os.path.abspath(folder))  # noqa: PTH100 - keeps links
        paths, digest, keys = tempfile.TemporaryFile(), hashlib.blake2b(digest_size=16), array("Q")  # noqa: SIM115
        outside, first = 0, (0, "")
        for line, raw in read_paths(name):
            path = _relative(os.fsdecode(raw), (given, real))
            if path is None:
                outside, first = outside + 1, first if outside else (line, os.fsdecode(raw))
                continue
            entry = os.fsencode(path)
            paths.write(entry + b"\0")
            digest.update(entry + b"\0")
            keys.frombytes(_key(entry))
        if outside:
            raise PathsOutside(name, real, *first, outside)
        if not keys:
            raise InvalidRequest(f"--files {name} has no paths.")
        paths.flush()
        return cls(
            real, listing=Listing(name, digest.hexdigest()), archives=archives, paths=paths, repeated=_repeated(keys)
        )

    @property
    def identity(self) -> str:
        """The folder and the list's place, not its contents: a list that has grown can update the same job."""
        name = self.listing.name
        parts = [str(self.folder), name if name == STANDARD_INPUT else str(Path(name).resolve())]
        return "\0".join([*parts, *(["archives"] if self.archives else [])])

    @property
    def stem(self) -> str:
        """The list's name, or the folder's for standard input."""
        return self.folder.name if self.listing.name == STANDARD_INPUT else Path(self.listing.name).stem

    def find(self, after: FolderPath | None = None, *, status: bool = False) -> Iterator[Found]:
        """The paths of the list, whether or not there is such a file, and the members of archives in their places."""
        last = archive_of(self.folder, after) if self.archives and after is not None else None
        wanted = after is None
        for path in self._distinct():
            if wanted:
                yield from self._images_of(path, status=status)
            elif path in (after, last):
                wanted = True
                if path != after:
                    yield from find_members(self.folder, path, after)
        if not wanted:
            raise InvalidRequest(f"--files {self.listing.name} does not contain {printable(str(after))}.")

    def _distinct(self) -> Iterator[FolderPath]:
        seen: set[bytes] = set()
        for entry in kept_entries(self.paths):
            if self.repeated and _key(entry) in self.repeated:
                if entry in seen:
                    continue
                seen.add(entry)
            yield FolderPath(os.fsdecode(entry))


def _relative(path: str, bases: tuple[Path, Path]) -> FolderPath | None:
    """The path relative to a folder, which has the names `bases`: as given and real. None if it leads out of it."""
    whole = os.path.normpath(os.path.join(bases[0], path))  # noqa: PTH118 - of a million paths
    for base in map(str, bases):
        if whole == base:
            return FolderPath(".")
        if whole.startswith(f"{base.rstrip('/')}/"):
            return FolderPath(whole[len(base.rstrip("/")) + 1 :])
    return None


def _key(entry: bytes) -> bytes:
    return hashlib.blake2b(entry, digest_size=_KEY_BYTES).digest()


def _repeated(keys: "array[int]") -> frozenset[bytes]:
    """The keys that occur more than once: 8 bytes a path decide which paths must be compared."""
    import numpy as np

    ordered = np.frombuffer(keys, np.uint64)
    ordered.sort()  # in place
    return frozenset(key.tobytes() for key in ordered[1:][ordered[1:] == ordered[:-1]])
