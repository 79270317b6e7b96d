"""The bytes of an archive: a file that can be read anywhere, or a compressed one that can only be read forward."""

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable
from typing import IO, Any, Protocol

from shared.archives.members import ArchiveError

_SKIPPED_AT_ONCE = 1 << 20
_FREE_BYTES = 1 << 30
_MOST_TIMES = 200
"""A compressed archive may grow by this factor, beyond the first GiB. Photographs hardly grow at all."""
_DECODER_BYTES = 256 << 20
"""The most memory that a decompressor may ask for."""
SIGNATURES = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


class Backward(Exception):
    """A stream that can only be read forward has passed the place already."""


class Stream(Protocol):
    """Bytes that are read from a place on."""

    @property
    def size(self) -> int | None:
        """In bytes; None if it is not known before the end is reached."""

    def tell(self) -> int:
        """The place of the next byte."""

    def seek(self, place: int) -> None:
        """Goes to a place; Backward if that is not possible. Beyond the end, `read` returns nothing."""

    def read(self, count: int) -> bytes:
        """The next bytes, fewer only at the end. ArchiveError if they are damaged."""

    def close(self) -> None:
        """Closes the file."""


class FileStream:
    """A file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.size = file, os.fstat(file.fileno()).st_size

    def tell(self) -> int:
        """The place of the next byte."""
        return self._file.tell()

    def seek(self, place: int) -> None:
        """Goes to a place, in either direction."""
        self._file.seek(place)

    def read(self, count: int) -> bytes:
        """The next bytes, fewer only at the end."""
        return self._file.read(count)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class CompressedStream:
    """The bytes of a compressed file. Going forward decompresses everything in between."""

    size = None

    def __init__(self, file: IO[bytes], kind: str, beat: Callable[[], object] = lambda: None) -> None:
        """`kind` is a value of `SIGNATURES`. `beat` is called after each MiB that is skipped."""
        self._file, self._kind, self._beat = file, kind, beat
        self._compressed = os.fstat(file.fileno()).st_size
        self._bytes: IO[bytes] = _decompressed(file, kind)
        self._place = 0

    def tell(self) -> int:
        """The place of the next byte."""
        return self._place

    def seek(self, place: int) -> None:
        """Goes forward to a place; Backward if it was passed."""
        if place < self._place:
            raise Backward
        while self._place < place:
            if not self.read(min(place - self._place, _SKIPPED_AT_ONCE)):
                return
            self._beat()

    def read(self, count: int) -> bytes:
        """The next bytes, fewer only at the end. ArchiveError if they are damaged, or far more than the file's."""
        import zstandard

        parts = []
        try:
            while count > 0 and (part := self._bytes.read(count)):
                parts.append(part)
                count -= len(part)
                self._place += len(part)
        except EOFError:
            if not parts:
                raise ArchiveError(f"cut short: the {self._kind} data does not end") from None
        except (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, ValueError) as error:
            raise ArchiveError(f"damaged {self._kind} data: {str(error) or type(error).__name__}") from None
        if self._place > _FREE_BYTES + _MOST_TIMES * self._compressed:
            raise ArchiveError(f"its {self._kind} data grows to more than {_MOST_TIMES} times its size")
        return b"".join(parts)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _decompressed(file: IO[bytes], kind: str) -> IO[bytes]:
    file.seek(0)
    if kind == "gzip":
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    if kind == "bzip2":
        return bz2.BZ2File(file)
    if kind == "xz":
        return io.BufferedReader(_Xz(file), _SKIPPED_AT_ONCE)
    import zstandard

    decoder = zstandard.ZstdDecompressor(max_window_size=_DECODER_BYTES)
    reader: Any = decoder.stream_reader(file, read_across_frames=True)
    return io.BufferedReader(reader, _SKIPPED_AT_ONCE)


class _Xz(io.RawIOBase):
    """Decompresses xz within a limit of memory, which LZMAFile has not."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._decoder = file, self._new()

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_DECODER_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        while True:
            rest = b""
            if self._decoder.eof:
                rest = (self._decoder.unused_data or self._file.read(_SKIPPED_AT_ONCE)).lstrip(b"\0")
                if not rest:
                    return 0
                self._decoder = self._new()
            elif self._decoder.needs_input and not (rest := self._file.read(_SKIPPED_AT_ONCE)):
                raise EOFError
            if part := self._decoder.decompress(rest, len(buffer)):
                buffer[: len(part)] = part
                return len(part)
