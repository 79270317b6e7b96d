"""Builds a page that loads its faces and pictures from files beside it, for any number of faces."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.analysis.average_linkage import average_linkage
from shared.analysis.calibration import NEAR_DUPLICATE
from shared.analysis.clustering import Groups
from shared.analysis.duplicates import MOST_NEAR_PAIRS, Duplicates, find_duplicates, recorded_near_pairs
from shared.analysis.people_groups import PeopleGroups
from shared.report.captions import large_pictures_note, left_out_note
from shared.report.data_scripts import UNIT
from shared.report.face_names import face_words
from shared.report.face_order import FaceOrder
from shared.report.group_pairs import MOST_FACES
from shared.report.heat_map import MAX_MATRIX_FACES, PALETTE, matrix_views
from shared.report.large_files import (
    FACES_A_FILE,
    GROUPS_A_FILE,
    NamedFaces,
    name_faces,
    write_faces,
    write_groups,
    write_nearest,
    write_sheets,
)
from shared.report.large_pictures import LargePictures
from shared.report.people_data import write_people_files
from shared.report.picture_choice import AT_FIRST, choose_pictured
from shared.report.report_files import publish_files, scratch_folder
from shared.report.sections import common_values
from shared.report.sprite_sheets import CELL_PX, COLUMNS, ROWS
from shared.report.view_model import (
    DuplicatesView,
    FaceView,
    KnownFace,
    LargeData,
    LargePageView,
    MatrixData,
    PeopleData,
)
from shared.results.distances import Distances, Faces, evenly_spaced
from shared.results.left_out import LeftOut
from shared.results.neighbors_file import Neighbors
from shared.results.reader import Results


@dataclass(frozen=True, kw_only=True)
class LargeReport:
    """What a large page is made of."""

    results: Results
    order: FaceOrder
    neighbors: Neighbors | None
    threshold: float | None
    people: PeopleGroups | None
    """Corrected groups; None if nothing was corrected."""
    left_out: LeftOut
    """Faces of the job that are in no group because of their quality."""
    part: str
    """What part of the job's faces it shows; empty for all."""
    pictures: int
    """The most faces with a thumbnail."""


def build_large_page(
    report: LargeReport,
    target: Path,
    ready: Mapping[int, bytes],
    images: Path | None,
    seconds: float | None,
) -> LargePageView:
    """Writes the page's files below `target`, the folder beside it, and returns its values.

    `ready`, `images` and `seconds` are those of `LargePictures`. Time and memory grow with the faces, not with their
    pairs.
    """
    results, order = report.results, report.order
    source = LargePictures(results, order, ready, images, seconds)
    with scratch_folder(results.folder) as scratch:
        chosen = choose_pictured(order, report.pictures, source.available())
        named = name_faces(results, order, write_sheets(scratch, len(order), source.of(chosen)), report.people)
        write_faces(scratch, named)
        if report.neighbors is not None:
            write_nearest(scratch, order, report.neighbors)
        pair_groups = write_groups(scratch, order, results.distances.embeddings, report.people)
        correctable = None
        if report.threshold is not None and not report.part:
            correctable = write_people_files(scratch, results, order, report.people, FACES_A_FILE)
        files = f"{target.name}/{publish_files(scratch, target)}"
    pictured = int((named.pictures >= 0).sum())
    note = large_pictures_note(
        faces=len(order),
        pictured=pictured,
        chosen=len(chosen),
        missing=source.missing,
        left_out=source.left_out,
        job=results.job,
        whole=not report.part,
    )
    return _page(report, named, files, pair_groups, correctable, pictured, note)


def _page(
    report: LargeReport,
    named: NamedFaces,
    files: str,
    pair_groups: list[int],
    correctable: PeopleData | None,
    pictured: int,
    note: str,
) -> LargePageView:
    results, order = report.results, report.order
    places = evenly_spaced(len(order), MAX_MATRIX_FACES)
    sample = Distances(np.asarray(results.distances.embeddings[order.rows[places]]))
    square = sample.among(np.arange(len(places)))
    view, data = matrix_views(square, average_linkage(square), _groups_in(report, places))
    duplicates = _duplicates(report, named)
    known = {*places.tolist(), *(face.index for pair in duplicates.pairs for face in pair[:2])}
    common = common_values(
        results,
        groups=None if report.threshold is None else len(order.sizes),
        part=report.part,
        square=square,
        threshold=report.threshold,
        faces=len(order),
        people=report.people,
        left_out=report.left_out,
    )
    return LargePageView(
        **common,
        sampled=len(places) < len(order),
        pictures_note=note,
        matrix=view,
        duplicates=duplicates,
        grouped=order.grouped,
        left_out=order.left_out,
        left_out_note=left_out_note(report.left_out) if order.left_out else "",
        group_count=None if report.threshold is None else len(order.sizes),
        pictured=pictured,
        data=LargeData(
            threshold=report.threshold,
            matrix=MatrixData(data.size, places[data.order].tolist(), data.cells, data.unit, data.first, data.squares),
            files=files,
            faces=len(order),
            group_sizes=list(_runs(order.sizes)),
            first_group=order.first_group,
            left_out=order.left_out,
            faces_a_file=FACES_A_FILE,
            groups_a_file=GROUPS_A_FILE,
            pair_groups=pair_groups,
            most_in_matrix=MOST_FACES,
            at_first=AT_FIRST,
            neighbors=report.neighbors is not None,
            strangers=common["strangers"],
            unit=UNIT,
            sheet_columns=COLUMNS,
            sheet_rows=ROWS,
            colors=list(PALETTE),
            top=view.top,
            known=[named.face(place) for place in sorted(known)],
            people=correctable,
        ),
    )


def _groups_in(report: LargeReport, places: Faces) -> Groups | None:
    """The groups among the faces at these places, which are their numbers then."""
    if report.threshold is None:
        return None
    group = report.order.ranks()[0][places]
    members = np.split(np.arange(len(places)), np.flatnonzero(np.diff(group)) + 1)  # places ascend, and so do groups
    return Groups(report.threshold, [faces.tolist() for faces in members])


def _runs(sizes: Faces) -> Iterator[tuple[int, int]]:
    values, counts = np.unique(sizes, return_counts=True)
    yield from zip(values[::-1].tolist(), counts[::-1].tolist(), strict=True)


def _duplicates(report: LargeReport, named: NamedFaces) -> DuplicatesView:
    results, order = report.results, report.order
    pairs = [] if report.neighbors is None else recorded_near_pairs(report.neighbors)
    found: Duplicates = find_duplicates(results.images, results.faces, pairs)
    place_of = np.full(len(results.faces), -1, np.intp)
    place_of[order.rows] = np.arange(len(order))

    def view(row: int) -> FaceView:
        face: KnownFace = named.face(int(place_of[row]))
        words = face_words(row, results.faces.paths[row], int(named.places[row]), int(named.counts[row]))
        return FaceView(face.place, face.name, words, None, CELL_PX)

    return DuplicatesView(
        copies=found.copies,
        copied_files=found.copied_files,
        pairs=[(view(a), view(b), distance) for a, b, distance in found.pairs if place_of[a] >= 0 and place_of[b] >= 0],
        near_pairs=found.near_pairs,
        near_pairs_cut=len(pairs) == MOST_NEAR_PAIRS,
        near_distance=NEAR_DUPLICATE,
    )
