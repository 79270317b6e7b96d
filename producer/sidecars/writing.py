"""Writes a sidecar for every image in which a face has a name."""

import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from producer.sidecars.geometry import stored_area, stored_size
from producer.sidecars.image_headers import NoOrientation, orientations
from producer.sidecars.job_images import JobImage, image_paths, images_with_faces
from producer.sidecars.names import Naming, shared_names, sidecar_name
from producer.sidecars.notes import Notes
from producer.sidecars.packet import fits_xml, packet
from producer.sidecars.region import Described, Region
from producer.sidecars.target_folder import SidecarFolder, Written, check_target
from shared.domain.errors import ResultsError
from shared.domain.paths import FolderPath, printable
from shared.results.reader import reading


@dataclass(frozen=True, kw_only=True)
class SidecarRequest:
    """Where sidecars go, and how."""

    target: Path
    images: Path
    """The folder that the paths of the job's images are relative to."""
    naming: Naming = Naming.FULL
    overwrite: bool = False
    """Whether files that are there with other contents are replaced."""


@dataclass(frozen=True)
class SidecarCounts:
    """What became of the images in which a face has a name."""

    written: int
    same: int
    """Sidecars that were there already with the same bytes."""
    troubles: int
    """Images without their sidecar, and faces that are not in it: `say` was told each."""


def write_sidecars(
    folder: Path, people: Mapping[int, str], request: SidecarRequest, say: Callable[[str], object]
) -> SidecarCounts:
    """Writes them. `people` names faces by their row in `faces.csv`; `say` is told what is the matter with an image.

    ResultsError if the results cannot be read or the folder cannot be made; InvalidRequest for a folder that is not for
    sidecars.
    """
    check_target(request.target, request.images)
    try:
        target = SidecarFolder(request.target, overwrite=request.overwrite)
    except OSError as error:
        raise ResultsError(
            f"{printable(str(request.target))} cannot be made: {error.strerror}. Give another folder with --to."
        ) from None
    notes, counts = Notes(say), dict.fromkeys(Written, 0)
    with reading(folder):
        shared = _shared(folder, people) if request.naming is Naming.STEM else set()
        for image, orientation in orientations(request.images, _named(folder, people)):
            name = sidecar_name(image.path, request.naming)
            if isinstance(orientation, NoOrientation):
                notes.add(image.shown, f"no sidecar, {orientation}")
            elif name in shared:
                notes.add(
                    image.shown, f"no sidecar, another image would have the same ({name}): leave out --names stem"
                )
            else:
                regions = _regions(image, people, orientation, notes)
                if regions:
                    size = stored_size(image.size, orientation)
                    content = packet(Described(regions, size, orientation))
                    written = _write(target, name, content, notes)
                    if written is not None:
                        counts[written] += 1
    _close(target, request.target)
    notes.close()
    return SidecarCounts(counts[Written.NEW], counts[Written.SAME], notes.count)


def _named(folder: Path, people: Mapping[int, str]) -> Iterator[JobImage]:
    return (image for image in images_with_faces(folder) if any(row in people for row, _ in image.faces))


def _shared(folder: Path, people: Mapping[int, str]) -> set[FolderPath]:
    wanted = {sidecar_name(image.path, Naming.STEM) for image in _named(folder, people)}
    return shared_names(image_paths(folder), wanted)


def _regions(image: JobImage, people: Mapping[int, str], orientation: int, notes: Notes) -> tuple[Region, ...]:
    regions = []
    for row, box in image.faces:
        if row not in people:
            continue
        area = stored_area(box, image.size, orientation) if all(image.size) else None
        if area is None:
            notes.add(image.shown, f"face {row} left out, it lies outside the image")
        elif not fits_xml(people[row]):
            notes.add(image.shown, f"face {row} left out, XML has not all characters of the name {people[row]}")
        else:
            regions.append(Region(people[row], area))
    return tuple(regions)


def _write(target: SidecarFolder, name: FolderPath, content: bytes, notes: Notes) -> Written | None:
    try:
        written = target.write(name, content)
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:  # it concerns all others too
            raise ResultsError(
                f"{printable(name)} cannot be written: no space is left. Free some, then repeat."
            ) from None
        notes.add(name, f"not written, {getattr(error, 'strerror', None) or error}")
        return None
    if written is Written.KEPT:
        notes.add(name, "left as it is, another file is there: --overwrite replaces it")
    return written


def _close(target: SidecarFolder, shown: Path) -> None:
    try:
        target.close()
    except OSError as error:
        raise ResultsError(
            f"{printable(str(shown))} cannot be synced to the disk: {error.strerror}. Fix that, then repeat."
        ) from None
