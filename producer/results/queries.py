"""Nearest faces and groups of faces, as tables or as CSV on standard output."""

import csv
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape

from producer.console.tables import new_table, print_table
from producer.console.terminal import say
from producer.results.lookup import Tables, find_faces
from shared.analysis.calibration import SAME_PERSON, same_person_threshold
from shared.analysis.clustering import find_groups
from shared.analysis.neighbors import nearest
from shared.domain.errors import InvalidRequest
from shared.report.captions import counted, false_pairs_note
from shared.results.distances import Distances
from shared.results.reader import Results, read_arrays, reading


def show_neighbors(folder: Path, image: str, count: int, *, as_csv: bool) -> None:
    """Prints the `count` nearest faces of every face in `image`, the nearest first."""
    with ExitStack() as stack, reading(folder):
        tables = Tables(folder, stack)
        faces = find_faces(tables, image)
        rows, distances = nearest(Distances(*read_arrays(folder, len(tables.faces))), np.array(faces), count)
        path = tables.path_of(faces[0])
        lines = [
            (face, path, rank, int(other), tables.path_of(int(other)), f"{distance:.4f}")
            for face, others, far in zip(faces, rows, distances, strict=True)
            for rank, (other, distance) in enumerate(zip(others, far, strict=True), start=1)
        ]
    if as_csv:
        _write_csv(("face", "path", "rank", "neighbor", "neighbor_path", "distance"), lines)
        return
    print(f"{path}: {counted(len(faces), 'face')}")
    if not lines:
        print("There is no other face to compare.")
        return
    shown = new_table("face", "rank", "neighbor", "distance", "path")
    for face, _, rank, other, other_path, distance in lines:
        shown.add_row(str(face), str(rank), str(other), distance, escape(other_path))
    print_table(shown)


def show_groups(folder: Path, threshold: float | None, *, as_csv: bool) -> None:
    """Prints the groups of faces within `threshold`, by default the one calibrated for the job's contract."""
    results = Results(folder)
    calibrated = same_person_threshold(results.contract)
    chosen = calibrated if threshold is None else threshold
    if chosen is None:
        raise InvalidRequest(
            "No threshold is calibrated for this job's options. Give one with --threshold D: with the default options "
            f"it is {SAME_PERSON}, and benchmarks/all_pairs.py measures it on photos of your own."
        )
    groups = find_groups(results.distances.embeddings, chosen)
    if as_csv:
        lines = (
            (number, len(faces), face, results.faces.paths[face])
            for number, faces in enumerate(groups.members, start=1)
            for face in faces
        )
        _write_csv(("group", "faces", "face", "path"), lines)
    else:
        shown = new_table("group", "faces", "images")
        for number, faces in enumerate(groups.people, start=1):
            paths = dict.fromkeys(results.faces.paths[face] for face in faces)
            shown.add_row(str(number), str(len(faces)), escape(", ".join(paths)))
        if groups.people:
            print_table(shown)
        found, alone = counted(len(groups.people), "group"), counted(len(groups.alone), "face")
        print(f"{found} of two or more faces, {alone} alone, at a distance of {chosen:g}.")
    if calibrated is None:
        notes = ["The threshold is not calibrated for this job's options."]
    else:
        notes = [false_pairs_note(len(results.distances), chosen)]
    for note in filter(None, notes):
        say(note)


def _write_csv(columns: tuple[str, ...], lines: Iterable[tuple[Any, ...]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(lines)
