"""Reads the members of archives, with the same outcomes as reading files."""

from collections.abc import Callable, Iterator
from pathlib import Path

from shared.archives.members import ArchiveError, Member, named_members
from shared.archives.opening import OpenArchive, Version, archive_of, is_archive, version_of
from shared.archives.streams import Backward
from shared.domain.image_formats import HEAD_BYTES
from shared.domain.outcomes import Outcome
from shared.domain.paths import RootPath, printable, resolve_inside
from shared.domain.stretch import Stretch
from worker.vision.decode import ImageTrouble, Limits, check_file
from worker.vision.pipeline import read_file

_WHOLE_NOW = "could not be read to its end when the job was made, and can be now: process it as another job"


class MemberReader:
    """A process's one open archive. It stays open between batches, because a compressed one can only be read forward:
    each batch would decompress it from the start.
    """

    def __init__(self) -> None:
        self._open: OpenArchive | None = None
        self._walk: Iterator[tuple[str, Member]] | None = None
        """The members from the last one on that was looked for by name."""
        self._beat: Callable[[], object] = lambda: None

    def read(
        self, root: Path, path: RootPath, stretch: Stretch, place: int, limits: Limits, beat: Callable[[], object]
    ) -> bytes:
        """The bytes of the member of a batch that begins at `place`.

        ImageTrouble, OSError or OutsideDataRoot says why there are none. `beat` is called after each MiB that is
        skipped.
        """
        self._beat = beat
        real = resolve_inside(root, stretch.archive)
        if path == stretch.archive:
            raise self._trouble(real, place)
        archive = self._opened(real)
        if archive.version != Version(stretch.size, stretch.mtime_ns):
            raise _changed(stretch.archive)
        self._walk = None
        try:
            try:
                member = archive.reader.member_at(place)
            except Backward:
                archive = self._opened(real, anew=True)
                member = archive.reader.member_at(place)
            return _bytes_of(archive, member, path, limits)
        except ArchiveError as error:
            raise ImageTrouble(Outcome.UNREADABLE, str(error)) from None

    def find(self, root: Path, path: RootPath, limits: Limits, beat: Callable[[], object]) -> bytes:
        """The bytes of an image of a job with archives, when only its path is known: a file, or a member by its name.

        Members are found fastest in the archive's order. Errors as for `read`.
        """
        self._beat = beat
        archive = archive_of(root, path)
        if archive is None:
            real = resolve_inside(root, path)
            if is_archive(path) and real.is_file():
                raise self._trouble(real, 0)
            return read_file(root, path, limits)
        real, name = resolve_inside(root, archive), path[len(archive) + 1 :]
        opened = self._opened(real)
        try:
            member = self._find(opened, name)
            if member is None:
                opened = self._opened(real, anew=True)
                member = self._find(opened, name)
            if member is None:
                raise ImageTrouble(Outcome.UNREADABLE, "not in the archive any more")
            return _bytes_of(opened, member, path, limits)
        except ArchiveError as error:
            self._close()
            raise ImageTrouble(Outcome.UNREADABLE, str(error)) from None

    def _find(self, archive: OpenArchive, name: str) -> Member | None:
        if self._walk is None:
            self._walk = named_members(archive.reader)
        return next((member for found, member in self._walk if found == name), None)

    def _opened(self, real: Path, *, anew: bool = False) -> OpenArchive:
        """The archive as it is now. A change since it was opened opens it again."""
        here = self._open
        if here is not None and not anew and here.path == real and here.version == version_of(real):
            return here
        self._close()
        try:
            self._open = OpenArchive(real, lambda: self._beat())
        except ArchiveError as error:
            raise ImageTrouble(Outcome.UNREADABLE, str(error)) from None
        return self._open

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
        self._open = self._walk = None

    def _trouble(self, real: Path, place: int) -> ImageTrouble:
        """Why an archive cannot be read from a place on."""
        reader = self._opened(real, anew=True).reader
        self._walk = None
        try:
            for member in reader.members(place):
                reader.check(member)
        except ArchiveError as error:
            return ImageTrouble(Outcome.UNREADABLE, str(error))
        return ImageTrouble(Outcome.UNREADABLE, _WHOLE_NOW)


def _changed(archive: RootPath) -> ImageTrouble:
    return ImageTrouble(
        Outcome.UNREADABLE, f"{printable(archive.rpartition('/')[2])} has changed since the job was made"
    )


def _bytes_of(archive: OpenArchive, member: Member, path: RootPath, limits: Limits) -> bytes:
    """The bytes of the member that was found last, if it looks like an image and is not too large."""
    with archive.reader.open(member) as file:
        head = file.read(min(HEAD_BYTES, member.size))
        check_file(path, head, member.size, limits)
        data = head + file.read(member.size - len(head))
    if not archive.is_unchanged:
        raise ImageTrouble(Outcome.UNREADABLE, "changed while it was read")
    if len(data) < member.size:
        raise ImageTrouble(Outcome.UNREADABLE, f"{len(data)} bytes, and its archive says {member.size}")
    return data
