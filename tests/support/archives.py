"""Archives of every kind with given members."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import zstandard

from shared.archives.members import ArchiveError, named_members
from shared.archives.opening import OpenArchive

COMPRESSED = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
    ".tar.zst": zstandard.compress,
}


def tar_bytes(members: Mapping[str, bytes] | list[tuple[str, bytes]], format: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar with these members, in this order."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=format, errors="surrogateescape") as tar:
        for name, data in members.items() if isinstance(members, Mapping) else members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return target.getvalue()


def zip_bytes(members: Mapping[str, bytes] | list[tuple[str, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip with these members, in this order."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, data in members.items() if isinstance(members, Mapping) else members:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return target.getvalue()


def archive_bytes(suffix: str, members: Mapping[str, bytes]) -> bytes:
    """An archive of the kind that the suffix names."""
    return zip_bytes(members) if suffix == ".zip" else COMPRESSED[suffix](tar_bytes(members))


def read_archive(path: Path) -> tuple[dict[str, bytes | str], str | None]:
    """The bytes of each member by its shown name, or the reason why there are none; and why the rest cannot be read."""
    found: dict[str, bytes | str] = {}
    try:
        with OpenArchive(path) as archive:
            for name, member in named_members(archive.reader):
                assert name not in found
                try:
                    found[name] = archive.reader.open(member).read(min(member.size, 64 << 20))  # as callers do
                except ArchiveError as error:
                    found[name] = str(error)
    except ArchiveError as error:
        return found, str(error)
    return found, None
