"""What corrections demand of groups: faces that must be in one group (must-links), and groups that must stay apart
(cannot-links).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.analysis.contradictions import Contradiction, Statements, explain
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
    """What the corrections demand. A correction of one face holds for its copies. Contradiction says which corrections
    exclude each other.
    """
    corrections = list(corrections)
    statements = Statements(copies.number)
    refused = [said for said in corrections if said.said.kind is Kind.DIFFERENT]
    for said in corrections:
        if said.said.kind in (Kind.PERSON, Kind.SAME):
            statements.add(said)
    parts = statements.components()
    together = np.arange(len(copies.first))
    named: dict[str, int] = {}  # the first face of each person
    for part in parts:
        faces = [node for node in part if isinstance(node, int)]
        together[faces] = min(faces)
        people = [node for node in part if isinstance(node, str)]
        if len(people) > 1:
            raise Contradiction(explain(statements.path(people[0], people[1:]), None))
        named |= dict.fromkeys(people, min(faces))
    pairs: set[tuple[int, int]] = set()
    for said in refused:
        one, other = statements.faces_of(said)
        a, b = int(together[one]), int(together[other])
        if a == b:
            raise Contradiction(explain(statements.path(one, [other]), said))
        pairs.add((min(a, b), max(a, b)))
    names = sorted(named)
    person_of_first = np.full(len(together), NOBODY, np.intp)
    person_of_first[[named[name] for name in names]] = np.arange(len(names))
    hidden = np.zeros(len(together), np.bool_)
    hidden[[copies.number[said.face] for said in corrections if said.said.kind is Kind.HIDDEN]] = True
    apart = np.array(sorted(pairs), np.intp).reshape(-1, 2)
    return Constraints(names, together, person_of_first[together], apart, hidden)
