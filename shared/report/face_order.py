"""The order in which a large report shows faces: group after group, the largest first, then the faces alone, last those
that are left out of groups.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from shared.analysis.people_groups import PeopleGroups
from shared.domain.arrays import Float32
from shared.results.distances import Faces


@dataclass(frozen=True)
class FaceOrder:
    """A face's *place* is its number in this order. The faces of a group come by their distance to its medoid."""

    rows: Faces
    """[m]: the row in faces.csv of the face at each place."""
    distances: Float32
    """[m]: its distance to the medoid of its group; 0 for a face alone."""
    sizes: Faces
    """[g]: the faces of each group of two and more, or with a name; never rising."""
    first_group: int = 1
    """The number of the first group."""
    left_out: int = 0
    """How many faces are left out of groups: those at the last places."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def grouped(self) -> int:
        """Faces in groups: those at the first places."""
        return int(self.sizes.sum())

    @property
    def starts(self) -> Faces:
        """[g + 1]: the place of each group's first face, and behind the last."""
        return np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.intp)

    def ranks(self) -> tuple[Faces, Faces]:
        """[m], [m]: the number of each face's group, counted from 0, and its place within; those alone have none of two
        faces, and count as one group each.
        """
        grouped, alone = self.grouped, len(self) - self.grouped
        group = np.concatenate([np.repeat(np.arange(len(self.sizes)), self.sizes), len(self.sizes) + np.arange(alone)])
        rank = np.zeros(len(self), np.intp)
        rank[:grouped] = np.arange(grouped) - np.repeat(self.starts[:-1], self.sizes)
        return group, rank


def order_faces(
    groups: npt.NDArray[np.integer],
    distances: Float32,
    listed: int | None = None,
    left_out: npt.NDArray[np.bool_] | None = None,
) -> FaceOrder:
    """The order of n faces; `groups` [n] are numbers from 1, the largest group first; `distances` [n] as above. The
    groups with numbers up to `listed` are shown as such, by default those of two faces and more. Faces that are
    `left_out` [n] come last; each is alone.

    ValueError if these are not such numbers.
    """
    counts = np.bincount(groups)
    if counts[:1].sum() or (counts[1:] == 0).any() or (np.diff(counts[1:]) > 0).any():
        raise ValueError("its groups are not numbered from the largest")
    last = np.zeros(len(groups), bool) if left_out is None else left_out & (counts[groups] == 1)
    rows = np.lexsort((np.arange(len(groups)), distances, groups, last))
    sizes = counts[1:][counts[1:] > 1] if listed is None else counts[1 : listed + 1]
    return FaceOrder(rows, np.asarray(distances[rows], np.float32), sizes.astype(np.intp), left_out=int(last.sum()))


def order_people(people: PeopleGroups) -> FaceOrder:
    """The order of the faces that are to be shown."""
    rows = people.shown
    order = order_faces(people.numbers[rows], people.distances[rows], people.listed, people.left_out.faces[rows])
    return replace(order, rows=rows[order.rows])


def ungrouped(faces: int) -> FaceOrder:
    """The order of n faces without groups: that of faces.csv."""
    return FaceOrder(np.arange(faces), np.zeros(faces, np.float32), np.empty(0, np.intp))


def one_group(order: FaceOrder, number: int) -> FaceOrder:
    """The part of the order with the group of this number alone. LookupError if there is none of two faces and more."""
    index = number - order.first_group
    if not 0 <= index < len(order.sizes):
        raise LookupError(number)
    part = slice(order.starts[index], order.starts[index + 1])
    return FaceOrder(order.rows[part], order.distances[part], order.sizes[index : index + 1], number)
