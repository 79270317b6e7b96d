"""Works out what a page in one file shows, from a results folder."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from shared.analysis.average_linkage import average_linkage
from shared.analysis.calibration import NEAR_DUPLICATE
from shared.analysis.clustering import MAX_ORDERED_FACES, Groups, find_groups, leaf_order
from shared.analysis.duplicates import find_duplicates, near_pairs
from shared.analysis.people_groups import PeopleGroups
from shared.domain.arrays import Float32
from shared.report.captions import left_out_note, pictures_note
from shared.report.heat_map import matrix_views, neighbor_data
from shared.report.people_data import people_data
from shared.report.rendering import data_uri
from shared.report.sections import common_values
from shared.report.thumbnails import Thumbnails
from shared.report.view_model import DuplicatesView, FaceView, GroupsView, GroupView, ScriptData, SmallPageView
from shared.results.distances import Distances, Faces, condensed
from shared.results.left_out import LeftOut
from shared.results.reader import Results
from shared.results.tables import Face

MAX_FACES = MAX_ORDERED_FACES
"""The most faces of a page in one file."""


@dataclass(frozen=True)
class Shown:
    """The faces that the page is about."""

    rows: Faces
    """Their rows in the arrays."""
    faces: list[Face]
    distances: Distances
    group: int | None = None
    """The number of the group that they are, if they are one."""


def all_faces(results: Results) -> Shown:
    """All faces of the job."""
    return Shown(np.arange(len(results.faces)), list(results.faces), results.distances)


def some_faces(results: Results, rows: Faces, group: int | None = None) -> Shown:
    """The faces in these rows, or with its number those of one group."""
    chosen = np.asarray(results.distances.embeddings[rows])
    return Shown(rows, [results.faces[row] for row in rows.tolist()], Distances(chosen), group)


def part_of(group: int, rows: Faces, people: PeopleGroups | None) -> str:
    """What a page of one group is about: the number of the group, and its person. `rows` are its faces."""
    person = "" if people is None else people.person_of(int(rows[0]))
    return f"group {group}, {person}" if person else f"group {group}"


def page_values(
    results: Results,
    shown: Shown,
    thumbnails: Thumbnails,
    threshold: float | None,
    people: PeopleGroups | None,
    left_out: LeftOut,
) -> SmallPageView:
    """The values of the page.

    `threshold` is the distance up to which faces are grouped, None for no groups. `people` are corrected groups of the
    job's faces. Those `left_out` are in no group.
    """
    square = shown.distances.among(np.arange(len(shown.faces)))
    tree = average_linkage(square)
    faces = _face_views(results, shown, thumbnails, people)
    groups = _groups_of(shown, threshold, people, left_out)
    several = len(faces) > 1
    matrix, matrix_data = matrix_views(square, tree, groups) if several else (None, None)
    shown_groups = None if groups is None else _groups(groups, faces, square, left_out)
    correctable = None
    if shown_groups is not None and shown.group is None and faces:
        members = [[face.index for face in group.faces] for group in shown_groups.people]
        correctable = people_data(results, shown.rows, members, square, people)
    return SmallPageView(
        **common_values(
            results,
            groups=None if groups is None else len(groups.people),
            part="" if shown.group is None else part_of(shown.group, shown.rows, people),
            square=square,
            threshold=threshold,
            faces=len(faces),
            people=people,
            left_out=left_out,
        ),
        sampled=False,
        faces=faces,
        faces_in_order=[faces[k] for k in leaf_order(tree, len(faces))],
        groups=shown_groups,
        pictures_note=pictures_note(thumbnails, results.job),
        matrix=matrix,
        duplicates=_duplicates(results, shown, faces),
        data=ScriptData(
            [face.name for face in faces],
            threshold,
            neighbor_data(shown.distances) if several else None,
            matrix_data,
            correctable,
        ),
    )


def _groups_of(shown: Shown, threshold: float | None, people: PeopleGroups | None, left_out: LeftOut) -> Groups | None:
    if threshold is None:
        return None
    if shown.group is not None:
        return Groups(threshold, [list(range(len(shown.faces)))])
    out = left_out.faces[shown.rows]
    if people is not None:
        members = [np.searchsorted(shown.rows, rows).tolist() for rows in people.members()]
        return Groups(threshold, members, np.flatnonzero(out).tolist())
    return find_groups(shown.distances.embeddings, threshold, out)


def _face_views(results: Results, shown: Shown, thumbnails: Thumbnails, people: PeopleGroups | None) -> list[FaceView]:
    of_image = {face.path for face in shown.faces}
    faces_of: Counter[str] = Counter()
    places = {}  # of each shown face among those of its image
    rows = set(shown.rows.tolist())
    for row, path in enumerate(results.faces.paths):
        if path in of_image:
            faces_of[path] += 1
            if row in rows:
                places[row] = faces_of[path]
    views = []
    for index, (row, face, jpeg) in enumerate(zip(shown.rows.tolist(), shown.faces, thumbnails.jpegs, strict=True)):
        place, of = places[row], faces_of[face.path]
        name = face.path if of == 1 else f"{face.path} ({place}/{of})"
        alt = f"Face {row}, in {face.path}" if of == 1 else f"Face {row}, {place} of {of} in {face.path}"
        picture = None if jpeg is None else data_uri(jpeg, "image/jpeg")
        person, status = ("", "") if people is None else (people.person_of(row), people.status_of(row))
        views.append(FaceView(index, name, alt, picture, thumbnails.side_px, person, status))
    return views


def _groups(groups: Groups, faces: list[FaceView], square: Float32, left_out: LeftOut) -> GroupsView:
    people, alone, out = [], [], set(groups.left_out)
    for members in groups.members:
        views = [faces[k] for k in members]
        if len(views) > 1 or views[0].person:
            inside = condensed(square[np.ix_(members, members)], np.float32)
            closest, widest = float(inside.min(initial=np.inf)), float(inside.max(initial=0))
            people.append(GroupView(views, closest, widest, views[0].person))
        elif members[0] not in out:
            alone += views
    return GroupsView(
        people=people,
        alone=sorted(alone, key=lambda face: face.index),
        left_out=[faces[k] for k in groups.left_out],
        left_out_note=left_out_note(left_out),
        threshold=groups.threshold,
    )


def _duplicates(results: Results, shown: Shown, faces: list[FaceView]) -> DuplicatesView:
    found = find_duplicates(results.images, shown.faces, near_pairs(shown.distances))
    return DuplicatesView(
        copies=found.copies,
        copied_files=found.copied_files,
        pairs=[(faces[a], faces[b], distance) for a, b, distance in found.pairs],
        near_pairs=found.near_pairs,
        near_pairs_cut=False,
        near_distance=NEAR_DUPLICATE,
    )
