"""The members of an archive: what a reader of any kind yields, and the names by which images.csv shows them."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Protocol

_MOST_NAME_BYTES = 4096  # of a path on Linux
_FILTER_BITS = 2**26
_HASHES = 8


class ArchiveError(Exception):
    """An archive, or a member of it, cannot be read; the message is the reason, for `images.csv`."""


class Encrypted(ArchiveError):
    """A member can only be read with a password."""

    def __init__(self) -> None:
        super().__init__("encrypted")


@dataclass(frozen=True)
class Member:
    """A regular file in an archive."""

    name: str
    """As the archive has it. It is data and never opened; bytes that are not UTF-8 are surrogates."""
    place: int
    """Where its header begins: in the uncompressed tar, or in the directory of a zip."""
    size: int
    """In bytes, as the header says."""


class ArchiveReader(Protocol):
    """One open archive. It reads forward; every place before the last one may mean reading it from the start again."""

    place: int
    """Where the reading stopped when there was an ArchiveError."""

    def members(self, start: int = 0) -> Iterator[Member]:
        """Yields the regular files from a place on, in the archive's order. ArchiveError where the rest cannot be read.

        The caller may read a member before it asks for the next.
        """

    def member_at(self, place: int) -> Member:
        """The member whose header begins there."""

    def check(self, member: Member) -> None:
        """ArchiveError if the archive ends before the member does. The member must be the last one that was found."""

    def open(self, member: Member) -> IO[bytes]:
        """The bytes of the member that was found last. Reading them raises ArchiveError if they are damaged."""

    def close(self) -> None:
        """Closes the archive."""


def named_members(reader: ArchiveReader) -> Iterator[tuple[str, Member]]:
    """Yields each member that is not hidden, with a name that no other member of the archive has.

    The same archive always gives the same names. Memory does not grow with the number of members.
    """
    names = DistinctNames()
    for member in reader.members():
        if (shown := relative_name(member.name)) is not None:
            yield names.distinct(shown), member


def relative_name(name: str) -> str | None:
    """The name as a relative path without `..`; None if it is hidden, or names the archive's root."""
    parts = [part for part in name.replace("\0", "\\x00").split("/") if part not in ("", ".")]
    if not parts or any(part.startswith(".") and part != ".." for part in parts):
        return None
    path = "/".join("__" if part == ".." else part for part in parts)
    raw = os.fsencode(path)
    if len(raw) > _MOST_NAME_BYTES:
        path = os.fsdecode(raw[:_MOST_NAME_BYTES]) + hashlib.blake2b(raw, digest_size=16).hexdigest()
    return path


class DistinctNames:
    """Gives a name that occurs again another one: `a.jpg` becomes `a#17.jpg` if it is the 17th member.

    It is a Bloom filter of 8 MiB, whatever number of names there is. By chance, a new name may look like one that
    occurred: of a million, one in 26 million. It then gets a number without need.
    """

    def __init__(self) -> None:
        self._bits = bytearray(_FILTER_BITS // 8)
        self._count = 0

    def distinct(self, name: str) -> str:
        """The name, or another one if it was given before."""
        self._count += 1
        path, mark = name, "#"
        while self._is_known(path):
            stem, suffix = os.path.splitext(name)  # noqa: PTH122 - pathlib keeps every name that it has seen
            path = f"{stem}{mark}{self._count}{suffix}"
            mark += "#"
        return path

    def _is_known(self, name: str) -> bool:
        """Whether the name was asked for before."""
        digest, known = hashlib.blake2b(os.fsencode(name), digest_size=4 * _HASHES).digest(), True
        for k in range(0, len(digest), 4):
            bit = int.from_bytes(digest[k : k + 4], "little") % _FILTER_BITS
            if not self._bits[bit >> 3] & 1 << (bit & 7):
                self._bits[bit >> 3] |= 1 << (bit & 7)
                known = False
        return known
