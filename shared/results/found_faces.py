"""Finds the faces that corrections name in a job's results, also after images were moved, renamed or added."""

import os
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from shared.domain.boxes import Box, parse_box
from shared.domain.paths import printable
from shared.results.corrections import Correction, FaceReference
from shared.results.reader import rows_of
from shared.results.schema import BOX_COLUMNS, DIGESTS, FACES, IMAGES

MIN_OVERLAP = 0.5
"""Intersection over union: two boxes that overlap less are not those of one face."""


@dataclass(frozen=True, slots=True)
class FoundCorrection:
    """A correction, and where its faces are in the job."""

    said: Correction
    face: int
    """Its row in `faces.csv`, or a number from behind the last row on if the job does not have it."""
    other: int | None = None
    """The same of the second face, of the kinds that have one."""


@dataclass(frozen=True)
class FoundCorrections:
    """What corrections mean for one job."""

    found: list[FoundCorrection]
    """Those whose faces the job has."""
    partly_found: list[FoundCorrection]
    """Those of which it lacks a face. By way of this face they may say something of others: somebody who is different
    from a person is so, too, when the photo that showed it is gone.
    """

    @property
    def missing(self) -> list[Correction]:
        """Those that name a face which the job does not have."""
        return [partly.said for partly in self.partly_found]

    @property
    def all(self) -> list[FoundCorrection]:
        """Both."""
        return [*self.found, *self.partly_found]


def find_corrections(folder: Path, corrections: Collection[Correction]) -> FoundCorrections:
    """Finds the faces of all corrections in the results folder.

    The image is the one with the digest; of several, that with the same name, or else the first. If the job has none,
    the image is that with the same name. The face is the one whose box overlaps most, by at least
    `MIN_OVERLAP`; without a box it is the image's only face. Raises as `rows_of` if tables cannot be read.
    """
    faces = _JobFaces(folder, [face for said in corrections for face in (said.face, said.other) if face is not None])
    result = FoundCorrections([], [])
    for said in corrections:
        face = faces.row_of(said.face)
        other = None if said.other is None else faces.row_of(said.other)
        there = face < faces.count and (other is None or other < faces.count)
        (result.found if there else result.partly_found).append(FoundCorrection(said, face, other))
    return result


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (one, other)]
    return width * height / (sum(areas) - width * height)


class _JobFaces:
    """The images of a job that references may mean, with their faces."""

    def __init__(self, folder: Path, references: Iterable[FaceReference]) -> None:
        names = {reference.image for reference in references}
        digests = {reference.digest for reference in references} - {""}
        self._named: dict[str, int] = {}
        """The number of the first image with each name."""
        self._with_digest: dict[str, list[int]] = defaultdict(list)
        for number, path in rows_of(folder / IMAGES, "image", "path"):
            if (shown := printable(path)) in names:
                self._named.setdefault(shown, int(number))
        if digests and os.path.lexists(folder / DIGESTS):
            for number, digest in rows_of(folder / DIGESTS, "image", "blake2b"):
                if digest in digests:
                    self._with_digest[digest].append(int(number))
        wanted = {*self._named.values(), *(number for numbers in self._with_digest.values() for number in numbers)}
        self._faces: dict[int, list[tuple[int, Box]]] = defaultdict(list)
        self.count = 0
        """How many faces the job has."""
        for row, (number, *sides) in enumerate(rows_of(folder / FACES, "image", *BOX_COLUMNS[:4])):
            if int(number) in wanted:
                self._faces[int(number)].append((row, parse_box(sides)))
            self.count = row + 1
        self._known: dict[FaceReference, int] = {}
        self._gone: dict[tuple[str, Box | None], int] = {}

    def row_of(self, reference: FaceReference) -> int:
        """The face's row in `faces.csv`; if the job does not have it, a number from `count` on, one for each face."""
        if reference not in self._known:
            row = self._find(reference)
            if row is None:
                named = reference.digest or reference.image, reference.box
                row = self._gone.setdefault(named, self.count + len(self._gone))
            self._known[reference] = row
        return self._known[reference]

    def _find(self, reference: FaceReference) -> int | None:
        numbers, named = self._with_digest.get(reference.digest, []), self._named.get(reference.image)
        image = named if not numbers or named in numbers else numbers[0]
        faces = [] if image is None else self._faces.get(image, [])
        if reference.box is None:
            return faces[0][0] if len(faces) == 1 else None
        shares = [overlap(reference.box, box) for _, box in faces]
        best = max(shares, default=0.0)
        return faces[shares.index(best)][0] if best >= MIN_OVERLAP else None
