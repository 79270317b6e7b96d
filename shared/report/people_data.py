"""What the scripts that correct groups read."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from shared.analysis.copies import find_copies, perhaps_equal
from shared.analysis.people_groups import PeopleGroups
from shared.domain.arrays import Float32
from shared.report.data_scripts import UNIT, packed, steps, write_script
from shared.report.face_order import FaceOrder
from shared.report.face_records import RecordedFaces
from shared.report.outside_faces import NONE, OUTSIDE, Found, outside_in_matrix, outside_in_neighbors
from shared.report.view_model import OutsideData, PeopleData, StatementData
from shared.results.distances import Faces
from shared.results.people_file import PEOPLE_COLUMNS, row_of
from shared.results.reader import Results


def people_data(
    results: Results, rows: Faces, groups: list[list[int]], square: Float32, people: PeopleGroups | None
) -> PeopleData:
    """For a page in one file. `rows` [n] of faces.csv are its faces; `groups` are those that it shows as such, as
    numbers among the n; `square` [n, n] are all distances; `people` are corrected groups.
    """
    records = RecordedFaces(results).of(rows)
    numbers = len(groups) + np.arange(len(rows))
    for number, faces in enumerate(groups):
        numbers[faces] = number
    place_of = np.full(len(results.faces), NONE, np.int64)
    place_of[rows] = np.arange(len(rows))
    statements, kept = _said(people, place_of)
    return PeopleData(
        key=_key(results.job, _digest([vars(records), groups, [asdict(said) for said in statements], kept])),
        columns=list(PEOPLE_COLUMNS),
        groups=groups,
        copies=_copies(results, place_of),
        records=records,
        outside=_outside(outside_in_matrix(square, numbers)),
        statements=statements,
        kept=kept,
    )


def write_people_files(
    folder: Path,
    results: Results,
    order: FaceOrder,
    people: PeopleGroups | None,
    faces_a_file: int,
) -> PeopleData:
    """For a page with files beside it: writes `records-*.js` and, if there are neighbors, `outside-*.js`, by place."""
    recorded = RecordedFaces(results)
    place_of = np.full(len(results.faces), NONE, np.int64)
    place_of[order.rows] = np.arange(len(order))
    group_of = np.full(len(results.faces), NONE, np.int64)
    group_of[order.rows] = order.ranks()[0]
    statements, kept = _said(people, place_of)
    digests = [_digest([order.sizes.tolist(), [asdict(said) for said in statements], kept])]
    outside = None if results.neighbors is None else outside_in_neighbors(results.neighbors, group_of)
    for number, start in enumerate(range(0, len(order), faces_a_file)):
        rows = order.rows[start : start + faces_a_file]
        records = vars(recorded.of(rows))
        digests.append(_digest(records))
        write_script(folder, "records", number, records)
        if outside is not None:
            faces = outside[0][rows]
            faces[faces != NONE] = place_of[faces[faces != NONE]]
            write_script(folder, "outside", number, vars(_outside((faces, outside[1][rows]))))
    return PeopleData(
        key=_key(results.job, _digest(digests)),
        columns=list(PEOPLE_COLUMNS),
        groups=[],
        copies=_copies(results, place_of),
        records=None,
        outside=None,
        statements=statements,
        kept=kept,
    )


def _said(people: PeopleGroups | None, place_of: Faces) -> tuple[list[StatementData], list[list[str]]]:
    """What corrections say about faces of the page, and the rows of the others."""
    if people is None:
        return [], []
    statements = []
    kept = [row_of(said) for said in people.corrections.missing]
    for found in people.corrections.found:
        face = int(place_of[found.face])
        other = None if found.other is None else int(place_of[found.other])
        if NONE in (face, other):
            kept.append(row_of(found.said))
        else:
            statements.append(StatementData(found.said.kind, face, other, found.said.person))
    return statements, kept


def _copies(results: Results, place_of: Faces) -> list[list[int]]:
    """The faces of the page that have equal embeddings, by place."""
    embeddings = results.distances.embeddings
    rows = np.flatnonzero(perhaps_equal(embeddings) & (place_of != NONE))
    numbers = find_copies(np.asarray(embeddings[rows])).number
    order = np.argsort(numbers, kind="stable")
    parts = np.split(place_of[rows[order]], np.flatnonzero(np.diff(numbers[order])) + 1)
    return [part.tolist() for part in parts if len(part) > 1]


def _outside(found: Found) -> OutsideData:
    faces, distances = found
    return OutsideData(OUTSIDE, packed(faces, "<u4"), steps(distances), UNIT)


def _key(job: str, digest: str) -> str:
    return f"facequeue-people:{job}:{digest}"


def _digest(content: Any) -> str:
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=12).hexdigest()
