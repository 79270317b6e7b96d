"""The images of a job that a sidecar, or a packet in themselves, says something about."""

import errno
from collections.abc import Iterator
from pathlib import Path

from producer.sidecars.embedded import embedded_packet
from producer.sidecars.job_images import JobImage, images_with_faces
from producer.sidecars.names import Naming, sidecar_name
from producer.sidecars.notes import Notes
from producer.sidecars.reading import described
from producer.sidecars.region import Described
from producer.sidecars.tree import MOST_BYTES, NotParsed
from shared.domain.errors import OutsideDataRoot
from shared.domain.paths import FolderPath, resolve_inside
from shared.results.files import open_regular

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


def described_images(sidecars: Path, folder: Path, notes: Notes) -> Iterator[tuple[JobImage, FolderPath, Described]]:
    """Yields each image with the name of the file that describes it, below `sidecars`: a sidecar, or the image itself.

    `folder` has the job's results. A sidecar that cannot be read is noted. Raises what `reading` explains.
    """
    for image in images_with_faces(folder):
        for naming in Naming:
            name = sidecar_name(image.path, naming)
            try:
                with open_regular(resolve_inside(sidecars, name)) as file:
                    content = described(file.read(MOST_BYTES + 1))
            except (OSError, OutsideDataRoot, NotParsed) as error:
                if getattr(error, "errno", None) in _NOT_THERE:
                    continue
                notes.add(name, f"not read, {getattr(error, 'strerror', None) or error}")
            else:
                yield image, name, content
            break
        else:
            found = _embedded(sidecars, image.path)
            if found is not None:
                yield image, image.path, found


def _embedded(root: Path, path: FolderPath) -> Described | None:
    """What the image's own packet says; None without faces with names, because cameras write packets too."""
    packet = embedded_packet(root, path)
    try:
        found = None if packet is None else described(packet)
    except NotParsed:
        return None
    return found if found is not None and (found.regions or found.faulty) else None
