"""Writes the files that a large page loads: names, pictures, nearest faces and distances, some at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.analysis.people_groups import PeopleGroups
from shared.domain.arrays import Float32
from shared.report.data_scripts import packed, steps, write_script
from shared.report.face_names import face_name, places_in_images
from shared.report.face_order import FaceOrder
from shared.report.group_pairs import group_pairs
from shared.report.sprite_sheets import SpriteSheets
from shared.report.view_model import KnownFace
from shared.results.distances import Faces
from shared.results.neighbors_file import Neighbors
from shared.results.reader import Results

FACES_A_FILE = 1_000
GROUPS_A_FILE = 10_000
NEAREST = 12
"""Nearest faces of each face, if it has so many."""
_NONE = 2**32 - 1


@dataclass(frozen=True)
class NamedFaces:
    """The faces of a page, by place."""

    results: Results
    order: FaceOrder
    places: Faces
    """[n]: of each row of faces.csv its place among the faces of its image."""
    counts: Faces
    """[n]: how many these are."""
    pictures: npt.NDArray[np.int64]
    """[m]: the number of each face's thumbnail; -1 if it has none."""
    people: PeopleGroups | None
    """Corrected groups; None if nothing was corrected."""

    def face(self, place: int) -> KnownFace:
        """The face at a place."""
        row = int(self.order.rows[place])
        name = face_name(self.results.faces.paths[row], int(self.places[row]), int(self.counts[row]))
        suggested = self.people is not None and self.people.status_of(row) == "suggested"
        return KnownFace(place, name, row, int(self.pictures[place]), suggested)


def name_faces(
    results: Results, order: FaceOrder, pictures: npt.NDArray[np.int64], people: PeopleGroups | None
) -> NamedFaces:
    """The faces of `order`."""
    return NamedFaces(results, order, *places_in_images(results.faces.paths), pictures, people)


def write_sheets(folder: Path, faces: int, jpegs: Iterator[tuple[int, bytes]]) -> npt.NDArray[np.int64]:
    """Writes thumbnails, which come with their places in ascending order; the number of each face's, -1 for none."""
    pictures = np.full(faces, -1, np.int64)
    sheets = SpriteSheets(folder)
    for place, jpeg in jpegs:
        number = sheets.add(jpeg)
        pictures[place] = -1 if number is None else number
    sheets.finish()
    return pictures


def write_faces(folder: Path, named: NamedFaces) -> None:
    """Writes `faces-*.js`: names, rows and pictures by place, and which faces are suggestions."""
    for number, part in _parts(len(named.order), FACES_A_FILE):
        faces = [named.face(place) for place in range(part.start, part.stop)]
        content = {
            "names": [face.name for face in faces],
            "rows": [face.row for face in faces],
            "pictures": [face.picture for face in faces],
            "suggested": [at for at, face in enumerate(faces) if face.suggested],
        }
        write_script(folder, "faces", number, content)


def write_nearest(folder: Path, order: FaceOrder, neighbors: Neighbors) -> None:
    """Writes `near-*.js`: the places of the nearest faces of each face, and their distances."""
    place_of = np.full(len(neighbors), _NONE, np.int64)
    place_of[order.rows] = np.arange(len(order))
    starts = np.asarray(neighbors.starts, np.int64)
    for number, part in _parts(len(order), FACES_A_FILE):
        rows = order.rows[part]
        at = starts[rows][:, None] + np.arange(NEAREST)
        there = at < starts[rows + 1][:, None]
        at = np.where(there, at, 0)
        # A damaged file may name faces that do not exist.
        faces = neighbors.faces[at] if len(neighbors.faces) else np.zeros_like(at)
        there &= (faces >= 0) & (faces < len(neighbors))
        places = np.where(there, place_of[np.where(there, faces, 0)], _NONE)
        distances = np.where(there, neighbors.distances[at] if len(neighbors.faces) else 0, 0)
        content = {"count": NEAREST, "faces": packed(places, "<u4"), "distances": steps(distances)}
        write_script(folder, "near", number, content)


def write_groups(folder: Path, order: FaceOrder, embeddings: Float32, people: PeopleGroups | None) -> list[int]:
    """Writes `groups-*.js`, the farthest face of each group and with corrected groups its person, and `pairs-*.js`, the
    distances within groups; the number of groups of each of the latter.
    """
    first = order.first_group - 1
    names = [] if people is None else people.names_of_groups()[first : first + len(order.sizes)]
    farthest = order.distances[order.starts[1:] - 1]
    for number, part in _parts(len(farthest), GROUPS_A_FILE):
        write_script(folder, "groups", number, {"farthest": steps(farthest[part]), "people": names[part]})
    counts = []
    for number, (groups, distances) in enumerate(group_pairs(order, embeddings)):
        write_script(folder, "pairs", number, {"distances": packed(distances, "<u2")})
        counts.append(groups)
    return counts


def _parts(count: int, size: int) -> Iterator[tuple[int, slice]]:
    for number, start in enumerate(range(0, count, size)):
        yield number, slice(start, min(start + size, count))
