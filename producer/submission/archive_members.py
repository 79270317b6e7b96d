"""The members of an archive as images of a job: their headers are read, and nothing else."""

from collections.abc import Iterator
from pathlib import Path

from producer.submission.sources import Found, MemberPlace
from shared.archives.members import ArchiveError, named_members
from shared.archives.opening import SUFFIXES, OpenArchive, Version, is_archive
from shared.domain.errors import InvalidRequest, OutsideDataRoot
from shared.domain.paths import FolderPath, resolve_inside

_NOT_OPENED = Version(0, 0)


def find_members(folder: Path, archive: FolderPath, after: FolderPath | None = None) -> Iterator[Found]:
    """Yields the members of `folder/archive` in its order; with `after`, only those that come after it.

    If the archive cannot be read to its end, the members before come first, and then the archive itself, so that the
    rest is not missing silently. The same if it is a link out of the folder, which is not opened.
    """
    if after == archive:
        return
    version, place, waiting = _NOT_OPENED, 0, after is not None
    try:
        with OpenArchive(resolve_inside(folder, archive)) as opened:
            version = opened.version
            try:
                for name, member in named_members(opened.reader):
                    path = FolderPath(f"{archive}/{name}")
                    if waiting:
                        waiting = path != after
                        continue
                    opened.reader.check(member)
                    where = MemberPlace(archive, version.size, version.mtime_ns, member.place)
                    yield Found(path, member.size, version.mtime_ns, where)
            except ArchiveError:
                place, waiting = opened.reader.place, True
    except (ArchiveError, OSError, OutsideDataRoot):
        waiting = True
    if waiting:
        yield Found(FolderPath(archive), member=MemberPlace(archive, version.size, version.mtime_ns, place))


def check_archive(path: Path) -> Path:
    """The real path of an archive that has a member; InvalidRequest if it is no archive, or cannot be read."""
    if not is_archive(path.name):
        raise InvalidRequest(f"{path} is neither a folder nor an archive ({', '.join(SUFFIXES)}).")
    try:
        with OpenArchive(path) as opened:
            found = next(named_members(opened.reader), None)
    except OSError as error:
        raise InvalidRequest(f"The archive {path} cannot be read: {error.strerror}.") from None
    except ArchiveError as error:
        raise InvalidRequest(f"The archive {path} cannot be read: {error}.") from None
    if found is None:
        raise InvalidRequest(f"The archive {path} has no files (hidden files and links do not count).")
    return path.resolve()
