"""What corrections demand of groups: faces that must be in one group (must-links), and groups that must stay apart
(cannot-links).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.analysis.contradictions import Contradiction, Node, Statements, explain
from shared.analysis.copies import Copies
from shared.domain.arrays import Bool
from shared.results.corrections import Kind
from shared.results.found_faces import FoundCorrection

Labels = npt.NDArray[np.intp]
NOBODY = -1


@dataclass(frozen=True)
class Constraints:
    """What the groups of m distinct faces have to keep to. Nothing in it depends on the order of the corrections."""

    names: list[str]
    """The people, by name."""
    together: Labels
    """[m]: the first of the faces that must be in one group with this one."""
    person: Labels
    """[m]: the number of the person that this face is, in `names`; `NOBODY` if nobody has said so. Faces that must be
    in one group have one person, and groups of different people must stay apart.
    """
    apart: Labels
    """[p, 2]: pairs of faces, each the first of those that must be with it, whose groups must stay apart."""
    hidden: Bool
    """[m]: whether the face is not to be shown."""


def constraints_of(corrections: Iterable[FoundCorrection], copies: Copies) -> Constraints:
    """What the corrections demand. A correction of one face holds for its copies, and what a face that the job does not
    have says of others holds too. Contradiction says which corrections exclude each other.
    """
    corrections = list(corrections)
    statements = Statements(copies)
    for said in corrections:
        if said.said.kind in (Kind.PERSON, Kind.SAME):
            statements.add(said)
    first_of: dict[Node, int] = {}  # of each node the first face of its component, if possible one of the job
    together = np.arange(len(copies.first))
    named: dict[str, int] = {}  # the first face of each person
    for part in statements.components():
        people = [node for node in part if isinstance(node, str)]
        if len(people) > 1:
            raise Contradiction(explain(statements.path(people[0], people[1:]), None))
        first = min(node for node in part if isinstance(node, int))
        first_of |= dict.fromkeys(part, first)
        if first < len(together):
            together[[node for node in part if isinstance(node, int) and node < len(together)]] = first
            named |= dict.fromkeys(people, first)
    pairs: set[tuple[int, int]] = set()
    for said in corrections:
        if said.said.kind is Kind.DIFFERENT:
            one, other = statements.faces_of(said)
            a, b = sorted((first_of.get(one, one), first_of.get(other, other)))
            if a == b:
                raise Contradiction(explain(statements.path(one, [other]), said))
            if b < len(together):
                pairs.add((a, b))
    names = sorted(named)
    person_of_first = np.full(len(together), NOBODY, np.intp)
    person_of_first[[named[name] for name in names]] = np.arange(len(names))
    hidden = np.zeros(len(copies.first), np.bool_)
    hidden_rows = [said.face for said in corrections if said.said.kind is Kind.HIDDEN]
    hidden[[copies.number[row] for row in hidden_rows if row < len(copies.number)]] = True
    apart = np.array(sorted(pairs), np.intp).reshape(-1, 2)
    return Constraints(names, together, person_of_first[together], apart, hidden)
