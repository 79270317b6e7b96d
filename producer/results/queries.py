"""Nearest faces and groups of faces, as tables or as CSV on standard output."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from rich.markup import escape

from producer.console.tables import new_table, print_table, write_csv
from producer.console.terminal import say
from producer.results.group_lists import NamedGroups, print_groups, print_groups_as_csv
from producer.results.lookup import Tables, find_faces
from shared.analysis.calibration import calibration_of, same_person_threshold, why_not_calibrated
from shared.analysis.grouping import Grouping, find_grouping, recorded_grouping
from shared.analysis.nearest_people import nearest_people
from shared.analysis.neighbors import nearest
from shared.analysis.people_groups import group_people
from shared.domain.errors import InvalidRequest
from shared.report.captions import counted, false_pairs_note, hidden_note, missing_note
from shared.results.corrections import Correction
from shared.results.distances import Distances
from shared.results.reader import neighbors_in, read_arrays, read_paths, read_summary, reading


def show_neighbors(folder: Path, image: str, count: int, *, as_csv: bool) -> None:
    """Prints the `count` nearest faces of every face in `image`, the nearest first."""
    with ExitStack() as stack, reading(folder):
        tables = Tables(folder, stack)
        faces = find_faces(tables, image)
        path = tables.path_of(faces[0])
        lines = [
            (face, path, rank, other, tables.path_of(other), f"{distance:.4f}")
            for face, near in zip(faces, _nearest(folder, faces, count, len(tables.faces)), strict=True)
            for rank, (other, distance) in enumerate(near, start=1)
        ]
    if as_csv:
        write_csv(("face", "path", "rank", "neighbor", "neighbor_path", "distance"), lines)
        return
    print(f"{path}: {counted(len(faces), 'face')}")
    if not lines:
        print("There is no other face to compare.")
        return
    shown = new_table("face", "rank", "neighbor", "distance", "path")
    for face, _, rank, other, other_path, distance in lines:
        shown.add_row(str(face), str(rank), str(other), distance, escape(other_path))
    print_table(shown)


def show_groups(
    folder: Path, threshold: float | None, *, as_csv: bool, corrections: Sequence[Correction] | None = None
) -> None:
    """Prints the groups of faces within `threshold`, by default the one calibrated for the job's contract. With
    corrections they keep to these, and have names.
    """
    with reading(folder):
        summary, paths = read_summary(folder), read_paths(folder)
    contract = dict(summary.get("contract") or {})
    calibration, calibrated = calibration_of(contract), same_person_threshold(contract)
    chosen = calibrated if threshold is None else threshold
    if chosen is None:
        raise InvalidRequest(
            f"{why_not_calibrated(contract)} Give one with --threshold D; benchmarks/all_pairs.py measures one on "
            "photos of your own."
        )
    people = None if corrections is None else _people(folder, len(paths), chosen, corrections)
    grouping = _grouping(folder, len(paths), chosen, calibrated) if people is None else people.groups
    members = [faces.tolist() for faces in grouping.members()]
    if as_csv:
        print_groups_as_csv(members, paths, people)
    else:
        print_groups(members, paths, None if people is None else people.groups, chosen)
    if calibration is None:
        notes = [why_not_calibrated(contract)]
    else:
        notes = [false_pairs_note(len(paths), chosen, calibration)]
    if people is not None:
        notes += [hidden_note(people.groups.hidden), missing_note(people.groups.missing, len(corrections or ()))]
    for note in filter(None, notes):
        say(note)


def _nearest(folder: Path, faces: list[int], count: int, total: int) -> list[list[tuple[int, float]]]:
    """The nearest others of each face: as recorded, if these are enough, otherwise by comparing with all."""
    recorded = neighbors_in(folder, total)
    if recorded is not None:
        rows = [recorded.of(face) for face in faces]
        if all(len(others) >= min(count, total - 1) for others, _ in rows):
            return [list(zip(others[:count].tolist(), far[:count].tolist(), strict=True)) for others, far in rows]
    others, distances = nearest(Distances(*read_arrays(folder, total)), np.array(faces), count)
    return [list(zip(row.tolist(), far.tolist(), strict=True)) for row, far in zip(others, distances, strict=True)]


def _grouping(folder: Path, faces: int, threshold: float, calibrated: float | None) -> Grouping:
    with reading(folder):
        recorded = recorded_grouping(folder, faces, threshold, calibrated)
        if recorded is not None:
            return recorded
        embeddings, _ = read_arrays(folder, faces)
        neighbors = neighbors_in(folder, faces)
    return find_grouping(embeddings, neighbors, threshold)


def _people(folder: Path, faces: int, threshold: float, corrections: Sequence[Correction]) -> NamedGroups:
    with reading(folder):
        embeddings, _ = read_arrays(folder, faces)
        neighbors = neighbors_in(folder, faces)
    groups = group_people(folder, corrections, embeddings, neighbors, threshold)
    return NamedGroups(groups, *nearest_people(neighbors, groups, threshold))
