"""Opens the images that a report shows: files, and members of archives in the order in which these have them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path

from shared.archives.members import ArchiveError, named_members
from shared.archives.opening import OpenArchive, archive_of
from shared.domain.errors import OutsideDataRoot
from shared.domain.paths import FolderPath, ShownPath, path_of_shown, resolve_inside, show_path
from shared.results.files import open_regular

_MOST_MEMBER_BYTES = 256 << 20
OpenImage = BufferedReader | BytesIO


@dataclass(frozen=True)
class Source:
    """One file with images: an image, or an archive."""

    paths: list[ShownPath]
    """Of the images that are wanted."""
    archive: FolderPath | None = None


def image_sources(root: Path, paths: Iterable[ShownPath]) -> list[Source]:
    """The files below `root` that these images are, or are in."""
    sources: list[Source] = []
    of_archive: dict[FolderPath, Source] = {}
    for path in paths:
        archive = archive_of(root, path_of_shown(path))
        if archive is None:
            sources.append(Source([path]))
        elif archive in of_archive:
            of_archive[archive].paths.append(path)
        else:
            of_archive[archive] = Source([path], archive)
            sources.append(of_archive[archive])
    return sources


def open_images(root: Path, source: Source) -> Iterator[tuple[ShownPath, OpenImage | None]]:
    """Yields the wanted images that can be opened, each until the next is asked for. Opens nothing outside `root`.

    Other members of an archive come with None, so that the caller can give up between them.
    """
    try:
        if source.archive is None:
            with open_regular(resolve_inside(root, path_of_shown(source.paths[0]))) as file:
                yield source.paths[0], file
        else:
            yield from _open_members(root, source.archive, set(source.paths))
    # Nothing is there, or it is damaged: the report goes without these pictures.
    except (OSError, ValueError, OutsideDataRoot, ArchiveError):
        return


def _open_members(
    root: Path, archive: FolderPath, wanted: set[ShownPath]
) -> Iterator[tuple[ShownPath, OpenImage | None]]:
    with OpenArchive(resolve_inside(root, archive)) as opened:
        for name, member in named_members(opened.reader):
            path = show_path(FolderPath(f"{archive}/{name}"))
            if path in wanted and member.size <= _MOST_MEMBER_BYTES:
                wanted.remove(path)
                try:
                    with opened.reader.open(member) as file:
                        yield path, BytesIO(file.read(member.size))
                except ArchiveError:
                    continue
            else:
                yield path, None
            if not wanted:
                return
