"""Groups that keep to corrections, with the names of people."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from shared.analysis.clustering import labels_of_faces, number_groups
from shared.analysis.constraints import NOBODY, Constraints, Labels, constraints_of
from shared.analysis.copies import Copies, find_copies
from shared.analysis.grouping import neighbors_of_distinct
from shared.analysis.medoids import medoid_distances
from shared.analysis.neighbor_linkage import link_neighbors
from shared.domain.arrays import Bool, Float32
from shared.results.corrections import Correction
from shared.results.distances import Faces
from shared.results.found_faces import FoundCorrections, find_corrections
from shared.results.left_out import LeftOut, no_limits
from shared.results.neighbors_file import Neighbors
from shared.results.reader import reading

Status = Literal["confirmed", "suggested", ""]
HIDDEN = 0
"""The group of faces that are not to be shown."""


@dataclass(frozen=True)
class PeopleGroups:
    """The groups of n faces."""

    numbers: Faces
    """[n]: the number of each face's group, from 1: those with most faces to show first, of equally large ones those
    with names; `HIDDEN` for faces that are not to be shown.
    """
    distances: Float32
    """[n]: the distance to the medoid of the faces of its group that are shown."""
    names: list[str]
    """The people that were named, in order."""
    person: Faces
    """[n]: the person of each face's group, by its number in `names`; `NOBODY` if nobody has named one."""
    confirmed: Bool
    """[n]: whether the face itself was named, or a copy, or a face that must be with it. Others are suggestions."""
    part: Faces
    """[n]: a number that faces share which must be together."""
    refused: Labels
    """[p, 2]: the part and the person of faces of which somebody has said that they are not this person."""
    corrections: FoundCorrections
    left_out: LeftOut
    """Which of the faces that are shown are in no group because of their quality. Those that a correction names, or
    joins with others, are not.
    """

    @property
    def missing(self) -> list[Correction]:
        """Corrections of faces that the job does not have."""
        return self.corrections.missing

    @property
    def listed(self) -> int:
        """How many groups have two faces to show and more, or a name: those with the first numbers."""
        sizes = np.bincount(self.numbers[self.shown], minlength=1)
        sizes[self.numbers[self.person != NOBODY]] += 1  # as large as if nobody was alone
        return int((sizes[1:] > 1).sum())

    @property
    def hidden(self) -> int:
        """How many faces are not to be shown."""
        return int((self.numbers == HIDDEN).sum())

    @property
    def shown(self) -> Faces:
        """The rows of the faces to show."""
        return np.flatnonzero(self.numbers != HIDDEN)

    def members(self) -> list[Faces]:
        """The faces of each group, in their order."""
        rows = self.shown
        order = rows[np.argsort(self.numbers[rows], kind="stable")]
        return np.split(order, np.flatnonzero(np.diff(self.numbers[order])) + 1) if len(order) else []

    def person_of(self, face: int) -> str:
        """The name of the person of the face's group; empty if nobody has named one."""
        person = int(self.person[face])
        return "" if person == NOBODY else self.names[person]

    def status_of(self, face: int) -> Status:
        """Whether this person was named, or is a suggestion."""
        if self.person[face] == NOBODY:
            return ""
        return "confirmed" if self.confirmed[face] else "suggested"

    def names_of_groups(self) -> list[str]:
        """The name of each group, in order; empty for those without."""
        names = [""] * int(self.numbers.max(initial=0))
        for face in np.flatnonzero((self.person != NOBODY) & (self.numbers != HIDDEN)).tolist():
            names[self.numbers[face] - 1] = self.person_of(face)
        return names


def group_people(
    folder: Path,
    corrections: Collection[Correction],
    embeddings: Float32,
    neighbors: Neighbors | None,
    threshold: float,
    left_out: LeftOut | None = None,
) -> PeopleGroups:
    """The groups of the faces in a results folder at a threshold: as `find_grouping`, but they keep to the corrections.
    Faces that are `left_out` are alone, unless a correction names them or joins them with others.

    Contradiction if these exclude each other; ResultsError if tables cannot be read.
    """
    with reading(folder):
        found = find_corrections(folder, corrections)
    copies = find_copies(embeddings)
    constraints = constraints_of(found.all, copies)
    known = neighbors_of_distinct(embeddings, neighbors, copies, threshold)
    left_out = no_limits(len(embeddings)) if left_out is None else left_out
    out = left_out.faces[copies.first] & ~_confirmed(constraints)
    labels = link_neighbors(embeddings, known, copies, threshold, constraints, out)
    left_out = left_out.but(~(out & ~constraints.hidden)[copies.number])
    return _with_names(labels, constraints, copies, embeddings, found, left_out)


def _confirmed(constraints: Constraints) -> Bool:
    """[m]: whether a correction names a face, or joins it with others."""
    several = np.bincount(constraints.together, minlength=len(constraints.together)) > 1
    confirmed: Bool = (constraints.person != NOBODY) | several[constraints.together]
    return confirmed


def _with_names(
    labels: Labels,
    constraints: Constraints,
    copies: Copies,
    embeddings: Float32,
    corrections: FoundCorrections,
    left_out: LeftOut,
) -> PeopleGroups:
    distinct = np.arange(len(labels))
    person = np.full(len(labels), NOBODY, np.intp)  # of each group
    np.maximum.at(person, labels, constraints.person)
    # Hidden faces are joined like others, but are no medoids, and do not count for the order of groups.
    shown_labels = np.where(constraints.hidden, len(labels) + distinct, labels)
    label_of_face = labels_of_faces(np.where(constraints.hidden, 0, labels), copies, left_out.faces)
    shown = ~constraints.hidden[copies.number]
    numbers = np.full(len(copies.number), HIDDEN, np.intp)
    person_of_face = person[labels][copies.number]
    numbers[shown] = number_groups(label_of_face[shown], person_of_face[shown] != NOBODY)
    pairs = np.concatenate([constraints.apart, constraints.apart[:, ::-1]])
    refused = np.stack([pairs[:, 0], constraints.person[pairs[:, 1]]], axis=1)
    return PeopleGroups(
        numbers=numbers,
        distances=medoid_distances(copies, shown_labels, embeddings),
        names=constraints.names,
        person=person_of_face,
        confirmed=(constraints.person != NOBODY)[copies.number],
        part=constraints.together[copies.number],
        refused=refused[refused[:, 1] != NOBODY],
        corrections=corrections,
        left_out=left_out,
    )
