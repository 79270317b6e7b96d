"""Reads zip archives entry by entry, in constant memory: zipfile.ZipFile would keep the whole directory."""

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

from shared.archives.members import ArchiveError, Encrypted, Member

_END = struct.Struct("<4s4H2LH")
_END64_PLACE = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MOST_COMMENT_BYTES = 1 << 16
_ABSENT = 0xFFFFFFFF
"""The value of a field whose real value is in the zip64 field."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
"""Not LZMA, whose decompressor asks for as much memory as a file tells it to."""
_ENCRYPTED, _SIZE_LATER, _UTF8 = 1 | 1 << 6 | 1 << 13, 1 << 3, 1 << 11
_ZIP64_FIELD = 1


class ZipReader:
    """A zip archive. Its members can be read in any order."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.place = file, 0
        self._size = os.fstat(file.fileno()).st_size
        self._entry, self._trouble = self._directory_entry, ""
        try:
            self._first, self._end, self._before = self._find_directory()
        except ArchiveError as error:  # cut short: the members' own headers have to do
            self._entry, self._trouble = self._local_entry, str(error)
            self._first, self._end, self._before = 0, self._size, 0

    def members(self, start: int = 0) -> Iterator[Member]:
        """Yields the regular files from a place on, in the directory's order; without one, in the file's.

        ArchiveError where the directory is damaged, or at the end of a zip without one.
        """
        self.place = max(start, self._first)
        while self.place < self._end:
            info, after = self._entry(self.place)
            if not info.is_dir() and _is_regular(info):
                yield Member(info.filename, self.place, info.file_size)
            self.place = after
        if self._trouble:
            raise ArchiveError(self._trouble)

    def member_at(self, place: int) -> Member:
        """The member with this entry; ArchiveError if there is none."""
        self.place = place
        info, _ = self._entry(place)
        return Member(info.filename, place, info.file_size)

    def check(self, member: Member) -> None:
        """Nothing: `members` yields no member that is not whole."""

    def open(self, member: Member) -> IO[bytes]:
        """The bytes of a member. ArchiveError if it is encrypted, or compressed in a way that is not supported."""
        info, _ = self._entry(member.place)
        if info.flag_bits & _ENCRYPTED:
            raise Encrypted
        if info.compress_type not in _METHODS:
            raise ArchiveError(f"compressed with method {info.compress_type}, which is not supported")
        return io.BufferedReader(_Bytes(self._at_data(info), info))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _find_directory(self) -> tuple[int, int, int]:
        """Where the directory begins and ends, and the number of bytes before the archive in this file."""
        tail_place = max(0, self._size - _END.size - _MOST_COMMENT_BYTES)
        self._file.seek(tail_place)
        tail = self._file.read()
        found = tail.rfind(b"PK\5\6", 0, len(tail) - _END.size + 4)
        if found < 0:
            raise ArchiveError("cut short: the directory at a zip's end is missing, and members may be")
        end = tail_place + found
        _, disk, _, _, _, size, offset, _ = _END.unpack_from(tail, found)
        if _ABSENT in (size, offset) or disk == 0xFFFF:
            place = end - _END64_PLACE.size
            mark, _, end64, _ = self._unpack(_END64_PLACE, place)
            if mark == b"PK\6\7":
                end = min(end64, place - _END64.size)
                if self._unpack(_END64, end)[0] != b"PK\6\6":  # bytes before the archive move it
                    end = place - _END64.size
                mark, _, _, _, disk, _, _, _, size, offset = self._unpack(_END64, end)
                if mark != b"PK\6\6":
                    raise ArchiveError("damaged: the directory at a zip's end is missing")
        if disk not in (0, 0xFFFF):
            raise ArchiveError("a part of a zip in several files")
        before = end - size - offset
        if before < 0:
            raise ArchiveError("damaged: the directory at a zip's end is not whole")
        return end - size, end, before

    def _local_entry(self, place: int) -> tuple[zipfile.ZipInfo, int]:
        """The member whose own header is at this place, and the place after its data."""
        try:
            mark, _, flags, method, _, _, crc, stored, size, name_bytes, more_bytes = self._unpack(_LOCAL, place)
        except ArchiveError:
            raise ArchiveError(self._trouble) from None
        rest = self._file.read(name_bytes + more_bytes)
        info = zipfile.ZipInfo("member")
        info.filename = _name(rest[:name_bytes], flags)
        info.flag_bits, info.compress_type, info.CRC = flags, method, crc
        info.compress_size, info.file_size, info.header_offset = stored, size, place
        _add_zip64(info, rest[name_bytes:])
        after = place + _LOCAL.size + name_bytes + more_bytes + info.compress_size
        # Some programs write a member's size only after it and into the directory.
        if mark != b"PK\3\4" or after > self._size or (flags & _SIZE_LATER and not stored):
            raise ArchiveError(self._trouble)
        return info, after

    def _directory_entry(self, place: int) -> tuple[zipfile.ZipInfo, int]:
        """The directory's entry at this place, and the place of the next one."""
        if not self._first <= place < self._end:
            raise ArchiveError("no member begins there: the archive has changed")
        mark, made, _, flags, method, _, _, crc, *others = self._unpack(_ENTRY, place)
        stored, size, name_bytes, more_bytes, note_bytes, _, _, mode, offset = others
        rest = self._file.read(name_bytes + more_bytes)
        if mark != b"PK\1\2" or len(rest) < name_bytes + more_bytes:
            raise ArchiveError("damaged: an entry of the zip's directory; what comes after is not known")
        info = zipfile.ZipInfo("member")
        info.filename = _name(rest[:name_bytes], flags)
        info.create_system, info.external_attr = made >> 8, mode
        info.flag_bits, info.compress_type, info.CRC = flags, method, crc
        info.compress_size, info.file_size, info.header_offset = stored, size, offset
        _add_zip64(info, rest[name_bytes:])
        return info, place + _ENTRY.size + name_bytes + more_bytes + note_bytes

    def _at_data(self, info: zipfile.ZipInfo) -> IO[bytes]:
        """The file at the beginning of a member's data."""
        mark, *_, name_bytes, more_bytes = self._unpack(_LOCAL, self._before + info.header_offset)
        if mark != b"PK\3\4":
            raise ArchiveError("damaged: the member is not where the zip's directory says")
        self._file.seek(name_bytes + more_bytes, os.SEEK_CUR)
        return self._file

    def _unpack(self, kind: struct.Struct, place: int) -> tuple[Any, ...]:
        if not 0 <= place <= self._size - kind.size:
            raise ArchiveError("cut short or damaged: an entry of the zip lies outside the file")
        self._file.seek(place)
        return kind.unpack(self._file.read(kind.size))


class _Bytes(io.RawIOBase):
    """The bytes of one member, as many as its entry says, with their checksum compared at the end."""

    def __init__(self, file: IO[bytes], info: zipfile.ZipInfo) -> None:
        self._bytes, self._left = zipfile.ZipExtFile(file, "r", info), info.file_size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._bytes.read(len(buffer))
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError) as error:
            raise ArchiveError(f"damaged in the zip: {_reason(error)}") from None
        self._left -= len(data)
        if not data and self._left and len(buffer):
            raise ArchiveError("damaged in the zip: fewer bytes than its directory says")
        buffer[: len(data)] = data
        return len(data)


def _reason(error: Exception) -> str:
    if isinstance(error, zipfile.BadZipFile):  # its text repeats the name
        return "its bytes have another size or checksum than its directory says"
    return str(error) or type(error).__name__


def _name(raw: bytes, flags: int) -> str:
    """The name in a directory's entry. Without the mark for UTF-8 it may still be that: many programs forget it."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "surrogateescape") if flags & _UTF8 else raw.decode("cp437")


def _is_regular(info: zipfile.ZipInfo) -> bool:
    """Whether the entry is a file. Only archives of Unix say that it is anything else."""
    mode = info.external_attr >> 16
    return info.create_system != 3 or stat.S_IFMT(mode) in (0, stat.S_IFREG)


def _add_zip64(info: zipfile.ZipInfo, fields: bytes) -> None:
    """Takes the values that need 64 bits from the entry's extra fields."""
    while len(fields) >= 4:
        kind, length = struct.unpack_from("<2H", fields)
        if kind == _ZIP64_FIELD:
            values = iter(struct.unpack(f"<{length // 8}Q", fields[4 : 4 + length // 8 * 8]))
            try:
                if info.file_size == _ABSENT:
                    info.file_size = next(values)
                if info.compress_size == _ABSENT:
                    info.compress_size = next(values)
                if info.header_offset == _ABSENT:
                    info.header_offset = next(values)
            except StopIteration:
                raise ArchiveError("damaged: an entry of the zip's directory; what comes after is not known") from None
            return
        fields = fields[4 + length :]
