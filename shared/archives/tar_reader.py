"""Reads tar archives header by header, forward, in constant memory."""

import io
import tarfile
from collections.abc import Iterator
from types import SimpleNamespace
from typing import IO, Any

from shared.archives.members import ArchiveError, Member
from shared.archives.streams import Stream

_MOST_HEADER_BYTES = 1 << 20
"""Of a header with its long names, attributes and map of a sparse file."""
_MOST_BYTES = 1 << 62
_COPIED_AT_ONCE = 1 << 20


class TarReader:
    """A tar archive, of any of tarfile's formats."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self.place = stream, 0
        self._last: tarfile.TarInfo | None = None

    def members(self, start: int = 0) -> Iterator[Member]:
        """Yields the regular files from a place on. ArchiveError where the archive is cut short or damaged."""
        self.place = start
        while True:
            self._stream.seek(self.place)
            info, after = self._header()
            if info is None:
                return
            if info.isreg():
                yield self._member(info)
            self.place = after

    def member_at(self, place: int) -> Member:
        """The member whose header begins there; ArchiveError if there is none."""
        self.place = place
        self._stream.seek(place)
        info, _ = self._header()
        if info is None or not info.isreg():
            raise ArchiveError("no member begins there: the archive has changed")
        return self._member(info)

    def check(self, member: Member) -> None:
        """ArchiveError if the archive ends before the member does."""
        info = self._of(member)
        end = info.offset_data + _stored_bytes(info)
        if self._stream.size is not None:
            whole = end <= self._stream.size
        else:
            self._stream.seek(end)
            whole = self._stream.tell() == end
        if not whole:
            raise ArchiveError(f"cut short in the middle of {_shown(info.name)}; what comes after is not known")

    def open(self, member: Member) -> IO[bytes]:
        """The bytes of the member that was found last."""
        return io.BufferedReader(_Bytes(self._stream, self._of(member)))

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()

    def _of(self, member: Member) -> tarfile.TarInfo:
        assert self._last is not None and self._last.offset == member.place
        return self._last

    def _member(self, info: tarfile.TarInfo) -> Member:
        self._last = info
        return Member(info.name, info.offset, info.size)

    def _header(self) -> tuple[tarfile.TarInfo | None, int]:
        """The header at this place and the place of the next one; None at the archive's end."""
        # What TarInfo needs of a TarFile, which itself would keep all members and ignore where an archive is cut short.
        headers: Any = SimpleNamespace(
            fileobj=_HeaderBytes(self._stream), offset=0, pax_headers={}, encoding="utf-8", errors="surrogateescape"
        )
        try:
            info = tarfile.TarInfo.fromtarfile(headers)
            if not (0 <= info.size <= _MOST_BYTES and self._stream.tell() <= headers.offset <= _MOST_BYTES):
                raise ValueError("a size that no file has")
            _check_map(info)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            return None, 0
        except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]
            if self.place:
                raise ArchiveError("cut short: the mark at a tar's end is missing, and members may be") from None
            raise ArchiveError("an empty file" if self._stream.size == 0 else "cut short: no tar in it") from None
        except tarfile.TruncatedHeaderError:  # type: ignore[attr-defined]
            raise ArchiveError("cut short in the middle of a header" if self.place else "not a tar or zip") from None
        except ArchiveError:
            raise
        # tarfile raises nearly anything for damaged headers, and RecursionError for many of long names.
        except Exception:
            what = f"damaged: no header at byte {self.place:,}; what comes after is not known"
            raise ArchiveError(what if self.place else "not a tar or zip") from None
        return info, headers.offset


class _HeaderBytes:
    """The stream as tarfile reads headers from it: not more than a header needs."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._left = stream, _MOST_HEADER_BYTES
        self.tell = stream.tell

    def read(self, count: int) -> bytes:
        """The next bytes of the header."""
        if not 0 <= count <= self._left:
            raise ArchiveError(f"damaged: a header of more than {_MOST_HEADER_BYTES / 2**20:.0f} MiB")
        self._left -= count
        return self._stream.read(count)


class _Bytes(io.RawIOBase):
    """The bytes of one member; the holes of a sparse file are zeros."""

    def __init__(self, stream: Stream, info: tarfile.TarInfo) -> None:
        self._stream, self._name, self._size, self._place = stream, info.name, info.size, 0
        self._parts = _parts(info)
        stream.seek(info.offset_data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while self._parts and self._place >= sum(self._parts[0]):
            self._parts.pop(0)
        count = min(len(buffer), self._size - self._place)
        if not self._parts or self._place < self._parts[0][0]:
            count = min(count, self._parts[0][0] - self._place) if self._parts else count
            buffer[:count] = bytes(count)
        elif count:
            count = min(count, sum(self._parts[0]) - self._place, _COPIED_AT_ONCE)
            data = self._stream.read(count)
            if len(data) < count:
                raise ArchiveError(f"cut short in the middle of {_shown(self._name)}")
            buffer[:count] = data
        self._place += count
        return count


def _parts(info: tarfile.TarInfo) -> list[tuple[int, int]]:
    """Offset and length of the stored parts of a file, in bytes."""
    if not info.issparse():
        return [(0, info.size)]
    parts: Any = info.sparse
    return [(offset, length) for offset, length in parts if length]


def _stored_bytes(info: tarfile.TarInfo) -> int:
    return sum(length for _, length in _parts(info))


def _check_map(info: tarfile.TarInfo) -> None:
    """ValueError if the parts of a sparse file overlap or lie outside it."""
    place = 0
    for offset, length in _parts(info):
        if offset < place or length < 0:
            raise ValueError("overlap")
        place = offset + length
    if place > info.size:
        raise ValueError("outside")


def _shown(name: str) -> str:
    return repr(name)[1:-1][:200]
