"""Nearest faces and groups of faces, as tables or as CSV on standard output."""

from collections.abc import Sequence
from contextlib import ExitStack
from math import isfinite
from pathlib import Path

import numpy as np
import numpy.typing as npt

from producer.console.tables import cell, new_table, print_table, write_csv
from producer.console.terminal import say
from producer.results.face_people import confirmed_people
from producer.results.group_lists import NamedGroups, print_groups, print_groups_as_csv
from producer.results.lookup import Tables, find_faces
from shared.analysis.calibration import calibration_of, same_person_threshold, why_not_calibrated
from shared.analysis.grouping import Grouping, find_grouping, recorded_grouping
from shared.analysis.nearest_people import nearest_people
from shared.analysis.neighbors import nearest
from shared.analysis.people_groups import group_people
from shared.domain.counts import counted
from shared.domain.errors import InvalidRequest
from shared.domain.quality_limits import QualityLimits
from shared.report.captions import false_pairs_note, hidden_note, left_out_note, missing_note
from shared.results.corrections import Correction
from shared.results.distances import Distances
from shared.results.left_out import LeftOut, find_left_out
from shared.results.reader import neighbors_in, read_arrays, read_paths, read_summary, reading


def show_neighbors(
    folder: Path,
    image: str,
    count: int,
    limits: QualityLimits,
    *,
    as_csv: bool,
    corrections: Sequence[Correction] | None = None,
) -> None:
    """Prints the `count` nearest faces of every face in `image`, the nearest first, without those below `limits`. With
    corrections, it prints who has been named.
    """
    known = None if corrections is None else confirmed_people(folder, corrections)
    with ExitStack() as stack, reading(folder):
        tables = Tables(folder, stack)
        faces = find_faces(tables, image)
        path, total = tables.path_of(faces[0]), len(tables.faces)
        left_out = find_left_out(folder, total, limits)
        lines = [
            (face, path, rank, other, tables.path_of(other), f"{distance:.4f}")
            for face, near in zip(faces, _nearest(folder, faces, count, left_out.faces), strict=True)
            for rank, (other, distance) in enumerate(near, start=1)
        ]
    person = ("person",) if known is not None else ()
    names = [() if known is None else (known.name_of(other),) for _, _, _, other, _, _ in lines]
    if as_csv:
        columns = ("face", "path", "rank", "neighbor", "neighbor_path", "distance", *person)
        write_csv(columns, ((*line, *name) for line, name in zip(lines, names, strict=True)))
    else:
        print(f"{path}: {counted(len(faces), 'face')}")
        shown = new_table("face", "rank", "neighbor", "distance", *person, "path")
        for (face, _, rank, other, other_path, distance), name in zip(lines, names, strict=True):
            shown.add_row(str(face), str(rank), str(other), distance, *map(cell, name), cell(other_path))
        if lines:
            print_table(shown)
        else:
            print("There is no other face to compare.")
    if known is not None and (note := missing_note(known.missing, len(corrections or ()))):
        say(note)


def show_groups(
    folder: Path,
    threshold: float | None,
    limits: QualityLimits,
    *,
    as_csv: bool,
    corrections: Sequence[Correction] | None = None,
) -> None:
    """Prints the groups of faces within `threshold`, by default the one calibrated for the job's contract, without
    those below `limits`. With corrections they keep to these, and have names.
    """
    with reading(folder):
        summary, paths = read_summary(folder), read_paths(folder)
        left_out = find_left_out(folder, len(paths), limits)
    contract = dict(summary.get("contract") or {})
    calibration, calibrated = calibration_of(contract), same_person_threshold(contract)
    chosen = calibrated if threshold is None else threshold
    if chosen is None:
        raise InvalidRequest(
            f"{why_not_calibrated(contract)} Give one with --threshold D; benchmarks/all_pairs.py measures one on "
            "photos of your own."
        )
    people = None if corrections is None else _people(folder, chosen, corrections, left_out)
    grouping = _grouping(folder, left_out, chosen, calibrated) if people is None else people.groups
    if people is not None:
        left_out = people.groups.left_out
    members = [faces.tolist() for faces in grouping.members()]
    if as_csv:
        print_groups_as_csv(members, paths, people, left_out)
    else:
        print_groups(members, paths, None if people is None else people.groups, left_out, chosen)
    if calibration is None:
        notes = [why_not_calibrated(contract)]
    else:
        notes = [false_pairs_note(len(paths) - left_out.count, chosen, calibration)]
    if people is not None:
        notes += [hidden_note(people.groups.hidden), missing_note(people.groups.missing, len(corrections or ()))]
    for note in filter(None, [left_out_note(left_out), *notes]):
        say(note)


def _nearest(
    folder: Path, faces: list[int], count: int, left_out: npt.NDArray[np.bool_]
) -> list[list[tuple[int, float]]]:
    """The nearest others of each face: as recorded, if these are enough, otherwise by comparing with all."""
    total = len(left_out)
    recorded = neighbors_in(folder, total)
    if recorded is not None:
        rows = [recorded.of(face) for face in faces]
        kept = [(others[~left_out[others]], far[~left_out[others]]) for others, far in rows]
        if all(
            len(others) >= min(count, total - 1 - int(left_out.sum())) or len(whole) == total - 1
            for (others, _), (whole, _) in zip(kept, rows, strict=True)
        ):
            return [list(zip(others[:count].tolist(), far[:count].tolist(), strict=True)) for others, far in kept]
    others, distances = nearest(Distances(*read_arrays(folder, total)), np.array(faces), count, left_out)
    return [
        [(other, far) for other, far in zip(row.tolist(), found.tolist(), strict=True) if isfinite(far)]
        for row, found in zip(others, distances, strict=True)
    ]


def _grouping(folder: Path, left_out: LeftOut, threshold: float, calibrated: float | None) -> Grouping:
    faces = len(left_out)
    with reading(folder):
        recorded = recorded_grouping(folder, faces, threshold, calibrated, left_out.limits)
        if recorded is not None:
            return recorded
        embeddings, _ = read_arrays(folder, faces)
        neighbors = neighbors_in(folder, faces)
    return find_grouping(embeddings, neighbors, threshold, left_out=left_out.faces)


def _people(folder: Path, threshold: float, corrections: Sequence[Correction], left_out: LeftOut) -> NamedGroups:
    with reading(folder):
        embeddings, _ = read_arrays(folder, len(left_out))
        neighbors = neighbors_in(folder, len(left_out))
    groups = group_people(folder, corrections, embeddings, neighbors, threshold, left_out)
    return NamedGroups(groups, *nearest_people(neighbors, groups, threshold))
