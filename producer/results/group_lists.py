"""Groups of faces, as a table or as CSV on standard output."""

from collections.abc import Sequence
from dataclasses import dataclass

from producer.console.tables import cell, new_table, print_table, write_csv
from shared.analysis.constraints import NOBODY
from shared.analysis.people_groups import PeopleGroups
from shared.domain.arrays import Float32
from shared.domain.counts import counted
from shared.domain.paths import ShownPath
from shared.results.distances import Faces
from shared.results.left_out import LeftOut


@dataclass(frozen=True)
class NamedGroups:
    """Groups with the names of people, and who the faces of other groups may be."""

    groups: PeopleGroups
    perhaps: Faces
    """[n]: the person with the nearest face, by number; `NOBODY` if there is none within the threshold."""
    distances: Float32
    """[n]: the distance to that face."""

    def columns(self, face: int) -> tuple[str, str, str, str]:
        """The values of `PEOPLE_OF_FACES`."""
        number = int(self.perhaps[face])
        also = ("", "") if number == NOBODY else (self.groups.names[number], f"{self.distances[face]:.4f}")
        return self.groups.person_of(face), self.groups.status_of(face), *also


PEOPLE_OF_FACES = ("person", "status", "perhaps", "distance")


def print_groups_as_csv(
    members: list[list[int]], paths: Sequence[ShownPath], people: NamedGroups | None, left_out: LeftOut
) -> None:
    """Prints every face of every group, with the reason if it is left out, and with its person if there are names."""
    columns: tuple[str, ...] = ("group", "faces", "face", "path", "left_out")
    lines = (
        (number, len(faces), face, paths[face], left_out.reasons(face))
        for number, faces in enumerate(members, start=1)
        for face in faces
    )
    if people is None:
        write_csv(columns, lines)
    else:
        write_csv((*columns, *PEOPLE_OF_FACES), ((*line, *people.columns(line[2])) for line in lines))


def print_groups(
    members: list[list[int]],
    paths: Sequence[ShownPath],
    people: PeopleGroups | None,
    left_out: LeftOut,
    threshold: float,
) -> None:
    """Prints the groups of two faces and more, and those with a name, then how many there are."""
    columns = ("group", "faces", "images") if people is None else ("group", "person", "faces", "suggested", "images")
    shown = new_table(*columns)
    for number, faces in enumerate(members, start=1):
        images = cell(", ".join(dict.fromkeys(paths[face] for face in faces)))
        if people is None and len(faces) > 1:
            shown.add_row(str(number), str(len(faces)), images)
        elif people is not None and (len(faces) > 1 or people.person_of(faces[0])):
            suggested = sum(people.status_of(face) == "suggested" for face in faces)
            person = cell(people.person_of(faces[0]))
            shown.add_row(str(number), person, str(len(faces)), str(suggested) if person else "", images)
    if shown.row_count:
        print_table(shown)
    several = sum(len(faces) > 1 for faces in members)
    alone = len(members) - several - left_out.count
    parts = [f"{counted(several, 'group')} of two or more faces", f"{counted(alone, 'face')} alone"]
    if people is not None:
        parts.append(counted(len(people.names), "person", "people") + " with a name")
    print(f"{', '.join(parts)}, at a distance of {threshold:g}.")
