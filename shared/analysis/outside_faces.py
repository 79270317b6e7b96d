"""For each group the nearest faces outside of it, which may be of the same person."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from shared.analysis.constraints import NOBODY
from shared.analysis.people_groups import HIDDEN, PeopleGroups
from shared.domain.arrays import Bool, Float32
from shared.results.distances import Faces
from shared.results.neighbors_file import Neighbors

_READ_AT_ONCE = 1 << 22


def nearest_outside(neighbors: Neighbors, groups: PeopleGroups, wanted: Bool, within: float, count: int) -> Neighbors:
    """The `count` nearest faces outside of each group at most, up to the distance `within`, the nearest first: the row
    of group g is g - 1, and `wanted` [groups] says which groups have one.

    A face is as far from a group as from the nearest of its faces that has it among its neighbors, or is among its.
    Hidden faces are left out, those of other people, and those that must stay apart from the group.
    """
    keys, distances = np.empty(0, np.int64), np.empty(0, np.float32)
    for more_keys, more in _pairs(neighbors, groups, wanted, within):
        keys, distances = np.concatenate([keys, more_keys]), np.concatenate([distances, more])
        keys, distances = _nearest(keys, distances, len(neighbors), count)
    group, faces = np.divmod(keys, max(1, len(neighbors)))
    starts = np.searchsorted(group, np.arange(len(wanted) + 1))
    return Neighbors(starts, faces.astype(np.int32), distances)


def _pairs(
    neighbors: Neighbors, groups: PeopleGroups, wanted: Bool, within: float
) -> Iterator[tuple[npt.NDArray[np.int64], Float32]]:
    """Faces outside of groups, with keys: the group's row times the number of faces, plus the face."""
    starts = np.asarray(neighbors.starts, np.int64)
    person = np.full(len(wanted) + 1, NOBODY, np.intp)
    person[groups.numbers] = groups.person
    apart = groups.apart[:, 0] * (len(wanted) + 1) + groups.apart[:, 1]
    wanted = np.concatenate([[False], wanted])
    for first in range(0, len(neighbors.faces), _READ_AT_ONCE):
        part = slice(first, first + _READ_AT_ONCE)
        distances = np.asarray(neighbors.distances[part])
        faces = np.asarray(neighbors.faces[part])
        at = np.flatnonzero((distances <= within) & (faces >= 0) & (faces < len(neighbors)))
        one = np.searchsorted(starts, first + at, "right") - 1
        for inside, outside in ((one, faces[at]), (faces[at], one)):
            group, other = groups.numbers[inside], groups.numbers[outside]
            kept = wanted[group] & (group != other) & (other != HIDDEN)
            kept &= (person[group] == person[other]) | (person[group] == NOBODY) | (person[other] == NOBODY)
            pair = np.minimum(group, other) * len(wanted) + np.maximum(group, other)
            kept &= ~np.isin(pair, apart)
            yield (group[kept] - 1).astype(np.int64) * len(neighbors) + outside[kept], distances[at[kept]]


def _nearest(keys: npt.NDArray[np.int64], distances: Float32, faces: int, count: int) -> tuple[Faces, Float32]:
    """The first `count` of each group by distance, ties by face, each face once: sorted by group, then so."""
    order = np.lexsort((distances, keys))
    order = order[np.diff(keys[order], prepend=-1) > 0]  # the nearest pair of each face
    group = keys // max(1, faces)
    order = order[np.lexsort((keys[order], distances[order], group[order]))]
    begins = np.flatnonzero(np.diff(group[order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    order = order[place < count]
    return keys[order], distances[order]
