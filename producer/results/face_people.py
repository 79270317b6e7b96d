"""The groups of a job's faces and the names of people, by what `--people` says."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.analysis.calibration import same_person_threshold
from shared.analysis.constraints import NOBODY, constraints_of
from shared.analysis.copies import find_copies
from shared.analysis.grouping import find_grouping, recorded_grouping
from shared.analysis.people_groups import HIDDEN, group_people
from shared.domain.quality_limits import DEFAULT_LIMITS
from shared.results.corrections import Correction
from shared.results.distances import Faces
from shared.results.found_faces import find_corrections
from shared.results.left_out import find_left_out
from shared.results.reader import neighbors_in, read_arrays, read_summary, reading, rows_of
from shared.results.schema import FACES


@dataclass(frozen=True)
class Named:
    """The person of a face."""

    person: str
    confirmed: bool
    """Whether somebody has said so of this face; otherwise it is a suggestion, because its group has that name."""


@dataclass(frozen=True)
class FacePeople:
    """What is known of a job's faces."""

    people: dict[int, Named]
    """By row in `faces.csv`."""
    groups: Faces | None = None
    """[n]: the number of each face's group, `HIDDEN` for those that are not to be shown; None if they are not grouped.
    """
    missing: Sequence[Correction] = ()
    """Those that are about faces which the job does not have."""

    def name_of(self, face: int) -> str:
        """The name of the person; empty if none is known."""
        return self.people[face].person if face in self.people else ""


def confirmed_people(folder: Path, corrections: Collection[Correction]) -> FacePeople:
    """The people whom somebody has named, without groups. Contradiction if corrections exclude each other."""
    with reading(folder):
        found = find_corrections(folder, corrections)
        embeddings, _ = read_arrays(folder, _count(folder))
        copies = find_copies(embeddings)
    constraints = constraints_of(found.all, copies)
    numbers = constraints.person[copies.number]
    people = {
        face: Named(constraints.names[numbers[face]], True) for face in np.flatnonzero(numbers != NOBODY).tolist()
    }
    return FacePeople(people, None, found.missing)


def grouped_people(folder: Path, corrections: Collection[Correction] | None, threshold: float | None) -> FacePeople:
    """The groups up to this distance, by default the calibrated one, and the people by what corrections say.

    Without any threshold, there are no groups, and only confirmed people.
    """
    with reading(folder):
        calibrated = same_person_threshold(dict(read_summary(folder).get("contract") or {}))
        faces = _count(folder)
        chosen = calibrated if threshold is None else threshold
        if chosen is None:
            return FacePeople({}) if corrections is None else confirmed_people(folder, corrections)
        recorded = None if corrections is not None else recorded_grouping(folder, faces, chosen, calibrated)
        if recorded is not None:
            return FacePeople({}, recorded.numbers)
        embeddings, _ = read_arrays(folder, faces)
        neighbors, left_out = neighbors_in(folder, faces), find_left_out(folder, faces, DEFAULT_LIMITS)
    if corrections is None:
        return FacePeople({}, find_grouping(embeddings, neighbors, chosen, left_out=left_out.faces).numbers)
    found = group_people(folder, corrections, embeddings, neighbors, chosen, left_out)
    rows = np.flatnonzero((found.person != NOBODY) & (found.confirmed | (found.numbers != HIDDEN)))
    people = {face: Named(found.person_of(face), bool(found.confirmed[face])) for face in rows.tolist()}
    return FacePeople(people, found.numbers, found.missing)


def _count(folder: Path) -> int:
    return sum(1 for _ in rows_of(folder / FACES, "face"))
