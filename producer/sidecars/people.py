"""Names of faces from sidecars: what digiKam and other programs know of a job's images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isclose
from pathlib import Path

from producer.sidecars.described_images import described_images
from producer.sidecars.geometry import stored_size, upright_box
from producer.sidecars.image_headers import NoOrientation, orientations
from producer.sidecars.job_images import JobImage
from producer.sidecars.matching import match
from producer.sidecars.notes import Notes
from producer.sidecars.region import Described
from shared.domain.counts import counted
from shared.domain.errors import InvalidRequest
from shared.domain.orientation import AS_STORED
from shared.domain.paths import FolderPath, ShownPath, printable
from shared.results.corrections import Correction, FaceReference, Kind, person_name
from shared.results.reader import reading

_SAME_SHAPE = 0.02
"""Programs round the size of a preview; a crop changes the shape by more."""


@dataclass(slots=True)
class _Counts:
    sidecars: int = 0
    photos: int = 0
    named: int = 0
    unmatched: int = 0


def people_of_sidecars(
    sidecars: Path, folder: Path, images: Path | None, say: Callable[[str], object]
) -> list[Correction]:
    """The names that the sidecars in a folder give to faces of the job with results in `folder`.

    The sidecars have the paths of their images, with `.xmp` appended or instead of the extension. An image there that
    has none may have the names in itself. `images` is the folder of the job's images, if it is here. `say` is told how
    much was found, and which files cannot be read. InvalidRequest if nothing there is of this job; ResultsError if the
    results cannot be read.
    """
    notes, counts = Notes(say), _Counts()
    found: list[Correction] = []
    said: dict[ShownPath, tuple[FolderPath, Described]] = {}

    def with_regions() -> Iterator[JobImage]:
        for image, name, content in described_images(sidecars, folder, notes):
            if name == image.path:
                counts.photos += 1
            else:
                counts.sidecars += 1
            if content.faulty:
                notes.add(name, f"{counted(content.faulty, 'region has', 'regions have')} no valid area")
            if content.regions:
                said[image.shown] = name, content
                yield image

    with reading(folder):
        for image, orientation in orientations(images or sidecars, with_regions(), unchanged=False):
            name, content = said.pop(image.shown)
            # The image decides, because the faces were found in it. Without it, the sidecar may know.
            turned = (content.orientation or AS_STORED) if isinstance(orientation, NoOrientation) else orientation
            if _fits(image, content, turned):
                found += _corrections(image, name, content, turned, counts, notes)
            else:
                notes.add(name, "left out, its regions are of an image of another shape")
    notes.close()
    shown = printable(str(sidecars))
    if not counts.sidecars + counts.photos:
        raise InvalidRequest(
            f"{shown} has no readable sidecar of an image of this job, and no image with names. Sidecars have the path "
            "of their image as in images.csv, with .xmp appended or instead of the extension."
        )
    of_photos = f" and {counted(counts.photos, 'photo')}" if counts.photos else ""
    unmatched = counted(counts.unmatched, "region with a name is", "regions with a name are")
    verb = "names" if counts.sidecars + counts.photos == 1 else "name"
    say(
        f"{shown}: {counted(counts.sidecars, 'sidecar')}{of_photos} {verb} {counted(counts.named, 'face')}"
        + (f"; {unmatched} no face of this job." if counts.unmatched else ".")
    )
    return found


def _fits(image: JobImage, content: Described, orientation: int) -> bool:
    """Whether the sidecar's regions are of an image of this shape, as far as it says."""
    if not all(image.size) or content.size is None:
        return all(image.size)
    width, height = stored_size(image.size, orientation)
    return isclose(content.size[0] * height, content.size[1] * width, rel_tol=_SAME_SHAPE)


def _corrections(
    image: JobImage, name: FolderPath, content: Described, orientation: int, counts: _Counts, notes: Notes
) -> Iterator[Correction]:
    boxes = [upright_box(region.area, image.size, orientation) for region in content.regions]
    matches = match(boxes, [box for _, box in image.faces])
    for place, region in enumerate(content.regions):
        if place not in matches:
            counts.unmatched += 1
            continue
        try:
            person = person_name(region.name)
        except ValueError as error:
            notes.add(name, f"a face left out, {error}")
            continue
        row, box = image.faces[matches[place]]
        counts.named += 1
        face = FaceReference(image.shown, box, image.digest, row)
        yield Correction(Kind.PERSON, face, person, None, f"sidecar {printable(name)}")
