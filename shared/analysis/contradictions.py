"""Statements that faces are of one person, and those among them that lead to a contradiction."""

from collections import deque
from collections.abc import Collection, Iterator

from shared.analysis.copies import Copies
from shared.domain.errors import InvalidRequest
from shared.results.corrections import Kind
from shared.results.found_faces import FoundCorrection

Node = int | str
"""A distinct face, or a person by name."""
_MOST_SHOWN = 6


class Contradiction(InvalidRequest):
    """Corrections that exclude each other."""


class Statements:
    """A graph of faces and people; an edge says that both ends are one person."""

    def __init__(self, copies: Copies) -> None:
        """Copies are one face. Faces that the job does not have are numbered behind the distinct ones that it has."""
        self._copies = copies
        self._edges: dict[Node, list[tuple[Node, FoundCorrection]]] = {}

    def faces_of(self, said: FoundCorrection) -> tuple[int, int]:
        """The distinct faces of a pair."""
        assert said.other is not None
        return self._number(said.face), self._number(said.other)

    def add(self, said: FoundCorrection) -> None:
        """Adds a correction of the kind `person` or `same`."""
        one: Node = self._number(said.face)
        other: Node = said.said.person if said.said.kind is Kind.PERSON else self.faces_of(said)[1]
        self._edges.setdefault(one, []).append((other, said))
        self._edges.setdefault(other, []).append((one, said))

    def _number(self, row: int) -> int:
        faces = len(self._copies.number)
        return int(self._copies.number[row]) if row < faces else len(self._copies.first) + row - faces

    def components(self) -> Iterator[list[Node]]:
        """The faces and people that are one, in the order in which they were named."""
        seen: set[Node] = set()
        for start in self._edges:
            if start in seen:
                continue
            seen.add(start)
            part = [start]
            for node in part:  # it grows meanwhile
                for other, _ in self._edges[node]:
                    if other not in seen:
                        seen.add(other)
                        part.append(other)
            yield part

    def path(self, start: Node, ends: Collection[Node]) -> list[FoundCorrection]:
        """The fewest statements that lead from the start to one of the ends; none if it is one of them."""
        came_from: dict[Node, tuple[Node, FoundCorrection]] = {}
        waiting = deque([start])
        node = start
        while waiting and (node := waiting.popleft()) not in ends:
            for other, said in self._edges.get(node, ()):
                if other not in came_from and other != start:
                    came_from[other] = node, said
                    waiting.append(other)
        path = []
        while node != start:
            node, said = came_from[node]
            path.append(said)
        return path[::-1]


def explain(path: list[FoundCorrection], refused: FoundCorrection | None) -> str:
    """The contradiction in one line: the statements of the path, and the one that excludes them."""
    said = [*path, refused] if refused is not None else path
    parts = [_in_words(each) for each in said]
    if len(parts) > _MOST_SHOWN:
        half = _MOST_SHOWN // 2
        parts[half:-half] = [f"({len(parts) - 2 * half} more)"]
    copies = "" if _fit_together(said) else " (Files with equal faces are copies: a correction holds for all of them.)"
    return f"Corrections exclude each other: {'; '.join(parts)}.{copies} Change or remove one of them."


def _in_words(found: FoundCorrection) -> str:
    said = found.said
    origin = f"{said.origin}: " if said.origin else ""
    if said.kind is Kind.PERSON:
        return f"{origin}{said.face} is {said.person}"
    relation = "is the same person as" if said.kind is Kind.SAME else "is not the person of"
    return f"{origin}{said.face} {relation} {said.other}"


def _fit_together(said: list[FoundCorrection]) -> bool:
    """Whether no copies are among the faces: each face is in two of the statements."""
    rows: dict[int, int] = {}
    for found in said:
        for row in (found.face,) if found.other is None else (found.face, found.other):
            rows[row] = rows.get(row, 0) + 1
    return all(count > 1 for count in rows.values())
