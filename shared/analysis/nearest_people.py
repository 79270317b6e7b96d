"""Who a face without a name may be: the person with the nearest face among its neighbors."""

from collections.abc import Iterator

import numpy as np

from shared.analysis.constraints import NOBODY
from shared.analysis.people_groups import HIDDEN, PeopleGroups
from shared.domain.arrays import Float32
from shared.results.distances import Faces
from shared.results.neighbors_file import Neighbors

_READ_AT_ONCE = 1 << 22


def nearest_people(neighbors: Neighbors | None, groups: PeopleGroups, within: float) -> tuple[Faces, Float32]:
    """For each of n faces in a group without a name, the person with the nearest face up to the distance `within`, by
    number, and that distance: [n], [n]. `NOBODY` and infinity if there is none, and for all other faces.

    Two faces are compared if one is among the neighbors of the other, so without `neighbors` none are. People are
    left out of whom somebody has said that the face is not theirs. Of equally near ones it is the first by name.
    """
    count = len(groups.numbers)
    person, nearest = np.full(count, NOBODY, np.intp), np.full(count, np.inf, np.float32)
    if neighbors is None:
        return person, nearest
    for faces, people, distances in _pairs(neighbors, groups, within):
        order = np.lexsort((people, distances, faces))
        order = order[np.diff(faces[order], prepend=-1) > 0]
        faces, people, distances = faces[order], people[order], distances[order]
        nearer = (distances < nearest[faces]) | ((distances == nearest[faces]) & (people < person[faces]))
        person[faces[nearer]], nearest[faces[nearer]] = people[nearer], distances[nearer]
    return person, nearest


def _pairs(neighbors: Neighbors, groups: PeopleGroups, within: float) -> Iterator[tuple[Faces, Faces, Float32]]:
    """Faces without a name, persons, and the distances of a face of each."""
    starts = np.asarray(neighbors.starts, np.int64)
    refused = groups.refused[:, 0] * len(groups.names) + groups.refused[:, 1]
    shown = groups.numbers != HIDDEN
    named, unnamed = shown & (groups.person != NOBODY), shown & (groups.person == NOBODY)
    for first in range(0, len(neighbors.faces), _READ_AT_ONCE):
        distances = np.asarray(neighbors.distances[first : first + _READ_AT_ONCE])
        others = np.asarray(neighbors.faces[first : first + _READ_AT_ONCE])
        # A damaged file may name faces that do not exist.
        at = np.flatnonzero((distances <= within) & (others >= 0) & (others < len(neighbors)))
        one, other, distances = (
            np.searchsorted(starts, first + at, "right") - 1,
            others[at].astype(np.intp),
            distances[at],
        )
        for face, mate in ((one, other), (other, one)):
            kept = unnamed[face] & named[mate]
            kept &= ~np.isin(groups.part[face] * len(groups.names) + groups.person[mate], refused)
            yield face[kept], groups.person[mate[kept]], distances[kept]
