"""What the templates show, from a results folder."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.outcomes import FAILED, Outcome
from shared.report.calibration import NEAR_DUPLICATE, SAME_PERSON
from shared.report.distances import Distances, Faces, Float32, evenly_spaced
from shared.report.duplicates import find_duplicates
from shared.report.figures import PALETTE, heat_map, histogram, ticks, timeline
from shared.report.groups import MAX_LINKED_FACES, Groups, average_linkage, cut, leaf_order
from shared.report.neighbours import nearest
from shared.report.page import data_uri
from shared.report.results_folder import Face, ImageFile, Results
from shared.report.thumbnails import Thumbnails

MAX_FACES = MAX_LINKED_FACES
"""On one page; of a larger job as many, spread evenly over it."""
MAX_MATRIX_FACES = 1_000
"""In the heat map: a million pairs, 2 MB."""
_NEIGHBOURS = 12
_MAX_ROWS = 500  # of a table of files
_MAX_WORKERS = 40  # in the table of workers
_MAX_CURVES = 16  # workers whose curves are drawn
_WORDS = {
    Outcome.OK: "at least one face", Outcome.NO_FACE: "no face found", Outcome.SKIPPED: "not an image",
    Outcome.UNREADABLE: "cannot be read", Outcome.TOO_LARGE: "too large", Outcome.TIMEOUT: "took too long",
    Outcome.CRASHED: "ended its process",
}  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """The faces that the page is about."""

    rows: Faces
    """Their rows in the arrays."""
    faces: list[Face]
    distances: Distances


def choose_faces(results: Results) -> Shown:
    """All faces, or `MAX_FACES` of them."""
    rows = evenly_spaced(len(results.faces), MAX_FACES)
    if len(rows) == len(results.faces):
        return Shown(rows, results.faces, results.distances)
    chosen = np.asarray(results.distances.embeddings[rows])
    return Shown(rows, [results.faces[row] for row in rows], Distances(chosen))


@dataclass(frozen=True)
class FaceView:
    """A face as the page shows it; `index` counts the faces of the page."""

    index: int
    name: str
    alt: str
    picture: str | None
    side_px: int


@dataclass(frozen=True)
class GroupView:
    """Two faces or more, and the smallest and largest distance between any two of them."""

    faces: list[FaceView]
    closest: float
    widest: float


@dataclass(frozen=True)
class FilesView:
    """Some files, and how many more there are."""

    title: str
    rows: list[ImageFile]
    more: int


def page_values(
    results: Results, shown: Shown, thumbnails: Thumbnails, threshold: float | None, calibrated: bool
) -> dict[str, Any]:
    """Everything that the templates name."""
    summary = results.summary
    square = shown.distances.among(np.arange(len(shown.faces)))
    tree = average_linkage(square)
    faces = _face_views(shown, thumbnails)
    groups = None if threshold is None else cut(tree, len(faces), threshold)
    neighbours = _neighbour_data(shown.distances) if len(faces) > 1 else None
    matrix, matrix_data = _matrix(square, shown, tree, threshold) if len(faces) > 1 else (None, None)
    duplicates = find_duplicates(results.images, shown.faces, shown.distances)
    chart = histogram(square, threshold)
    return {
        "job": results.job, "source": summary.get("source", ""), "started": summary.get("started"), "duration_s": _duration_s(summary),
        "images": len(results.images), "face_count": len(results.faces), "images_per_s": summary.get("images_per_s"),
        "outcomes": _outcomes(results.images), "failed": sum(image.outcome in FAILED for image in results.images),
        "stages": _stages(summary), "sampled": len(faces) < len(results.faces),
        "faces": faces, "faces_in_order": [faces[k] for k in leaf_order(tree, len(faces))],
        "groups": None if groups is None else _group_views(groups, faces, square),
        "threshold": threshold, "threshold_note": _threshold_note(threshold, calibrated, results.job),
        "pictures_note": _pictures_note(thumbnails, results.job),
        "matrix": matrix, "histogram": chart, "histogram_alt": _histogram_alt(chart, threshold),
        "neighbours": neighbours is not None, "near_duplicate": NEAR_DUPLICATE,
        "duplicates": {
            "copies": duplicates.copies, "copied_files": duplicates.copied_files, "near_pairs": duplicates.near_pairs,
            "pairs": [(faces[a], faces[b], distance) for a, b, distance in duplicates.pairs],
        },
        "failures": _files(results.images, "Failed", FAILED),
        "harmless": [
            _files(results.images, "No face found", {Outcome.NO_FACE}), _files(results.images, "Skipped", {Outcome.SKIPPED}),
        ],
        "workers": list(summary.get("workers", {}).items())[:_MAX_WORKERS],
        "more_workers": max(0, len(summary.get("workers", {})) - _MAX_WORKERS),
        "timeline": timeline(dict(list(results.resources.items())[:_MAX_CURVES]), _spans(summary)),
        "timeline_more": max(0, len(results.resources) - _MAX_CURVES),
        "contract": sorted(results.contract.items()), "versions": summary.get("versions", {}),
        "data": {
            "names": [face.name for face in faces], "threshold": threshold, "neighbours": neighbours, "matrix": matrix_data,
        },
    }  # fmt: skip


def _face_views(shown: Shown, thumbnails: Thumbnails) -> list[FaceView]:
    of_path: dict[str, int] = {}
    for face in shown.faces:
        of_path[face.path] = of_path.get(face.path, 0) + 1
    met: dict[str, int] = {}
    views = []
    for index, (row, face, jpeg) in enumerate(zip(shown.rows.tolist(), shown.faces, thumbnails.jpegs, strict=True)):
        met[face.path] = met.get(face.path, 0) + 1
        name = face.path if of_path[face.path] == 1 else f"{face.path} (face {met[face.path]} of {of_path[face.path]})"
        picture = None if jpeg is None else data_uri(jpeg, "image/jpeg")
        views.append(FaceView(index, name, f"Face {row}, in {name}", picture, thumbnails.side_px))
    return views


def _group_views(groups: Groups, faces: list[FaceView], square: Float32) -> dict[str, Any]:
    people = []
    for members in groups.people:
        inside = square[np.ix_(members, members)][np.triu_indices(len(members), 1)]
        people.append(GroupView([faces[k] for k in members], float(inside.min()), float(inside.max())))
    return {
        "people": people,
        "alone": [faces[k] for k in groups.alone],
        "threshold": groups.threshold,
        "method": groups.method,
    }


def _matrix(
    square: Float32, shown: Shown, tree: npt.NDArray[np.float64], threshold: float | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the template and what the script show of the heat map."""
    some = evenly_spaced(len(square), MAX_MATRIX_FACES)
    if len(some) < len(square):
        square = square[np.ix_(some, some)]
        tree = average_linkage(square)
    order = leaf_order(tree, len(square))
    square = square[np.ix_(order, order)]
    upper = square[np.triu_indices(len(square), 1)]
    top = max(0.1, float(np.ceil(upper.max() * 10 - 1e-4)) / 10)
    cells, unit = _as_uint16(upper)
    first = divmod(int(np.argmin(square + np.eye(len(square), dtype=np.float32) * 1e9)), len(square))
    view = {
        "size": len(square), "sampled": len(square) < len(shown.faces), "top": top,
        "picture": data_uri(heat_map(square, top), "image/png"), "colours": ",".join(PALETTE),
        "alt": f"Heat map of the distances between {len(square)} faces, from {upper.min():.2f} to {upper.max():.2f}.",
        "ticks": ticks(top, 4), "threshold_share": 100 * threshold / top if threshold is not None and threshold <= top else None,
    }  # fmt: skip
    data = {
        "size": len(square), "order": some[order].tolist(), "cells": cells, "unit": unit, "first": first,
        "squares": [] if threshold is None else _squares(cut(tree, len(square), threshold), order),
    }  # fmt: skip
    return view, data


def _squares(groups: Groups, order: Faces) -> list[tuple[int, int]]:
    """Where each group begins and ends in the order of the leaves, in which its faces are side by side."""
    place = np.empty(len(order), np.intp)
    place[order] = np.arange(len(order))
    return [(int(place[faces].min()), int(place[faces].max()) + 1) for faces in groups.people]


def _neighbour_data(distances: Distances) -> dict[str, Any]:
    rows, found = nearest(distances, np.arange(len(distances)), _NEIGHBOURS)
    near, unit = _as_uint16(found)
    return {"count": rows.shape[1], "faces": _in_base64(rows), "distances": near, "unit": unit}


def _as_uint16(values: Float32) -> tuple[str, float]:
    """The values in steps of the second result: 0.00003 for distances up to 2, so that three decimals are right."""
    unit = max(float(values.max()), 1e-6) / 65535
    return _in_base64((values.astype(np.float64) / unit).round()), unit


def _in_base64(values: npt.NDArray[Any]) -> str:
    return base64.b64encode(values.astype("<u2").tobytes()).decode()


def _outcomes(images: list[ImageFile]) -> list[dict[str, Any]]:
    counts: dict[str, int] = {}
    for image in images:
        counts[image.outcome] = counts.get(image.outcome, 0) + 1
    names = [name.value for name in Outcome if name in counts] + sorted(set(counts) - set(Outcome))
    words: dict[str, str] = {outcome.value: text for outcome, text in _WORDS.items()}
    return [
        {"name": name, "words": words.get(name, ""), "files": counts[name], "failed": name in FAILED} for name in names
    ]


def _files(images: list[ImageFile], title: str, outcomes: Iterable[str]) -> FilesView:
    wanted = set(outcomes)
    rows = [image for image in images if image.outcome in wanted]
    return FilesView(title, rows[:_MAX_ROWS], max(0, len(rows) - _MAX_ROWS))


def _stages(summary: dict[str, Any]) -> list[dict[str, Any]]:
    seconds = summary.get("seconds", {})
    total, images = sum(seconds.values()) or 1.0, summary.get("images") or 1
    return [
        {"name": name, "seconds": spent, "share": 100 * spent / total, "ms_an_image": 1000 * spent / images}
        for name, spent in seconds.items()
    ]


def _duration_s(summary: dict[str, Any]) -> float | None:
    started, ended = summary.get("started"), summary.get("ended")
    if not started or not ended:
        return None
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()


def _spans(summary: dict[str, Any]) -> list[tuple[str, str | None, str | None]]:
    phases = summary.get("phases") or {}
    return [
        (
            "embedding",
            phases.get("embedding_started", summary.get("started")),
            phases.get("embedding_ended", summary.get("ended")),
        ),
        ("distances", phases.get("distances_started"), phases.get("distances_ended")),
    ]


def _threshold_note(threshold: float | None, calibrated: bool, job: str) -> str:
    if threshold is None:
        return (
            "No threshold is calibrated for this job's contract, so faces are not grouped. "
            f"`python -m producer report {job} --threshold D` groups them at a distance of your own."
        )
    if not calibrated:
        return f"The threshold {threshold:g} was given by hand; it is not calibrated for this job's contract."
    if threshold != SAME_PERSON:
        return f"The threshold {threshold:g} was given by hand; the calibrated one is {SAME_PERSON}."
    return (
        f"{SAME_PERSON} was calibrated on LFW View 1 for this contract: one in a thousand pairs of different people is that "
        "near, and 94 % of the pairs of one person are. It promises nothing for other photographs: children, other ages, "
        "other cameras. A group is a suggestion, no proof."
    )


def _pictures_note(thumbnails: Thumbnails, job: str) -> str:
    parts = []
    if thumbnails.missing:
        parts.append(
            f"{thumbnails.missing:,} faces have no picture: their images are not where they were, not what they were, or have "
            f"names that cannot be written. `python -m producer report {job} --images DIR` says where they are."
        )
    if thumbnails.left_out:
        parts.append(f"{thumbnails.left_out:,} pictures were left out, for want of time or room.")
    return " ".join(parts)


def _histogram_alt(chart: Any, threshold: float | None) -> str:
    if chart is None:
        return ""
    near = "" if chart.near is None else f" {chart.near} are at or below the threshold {threshold:g}."
    return f"Histogram of {chart.pairs} distances from {chart.smallest:.2f} to {chart.largest:.2f}, median {chart.median:.2f}.{near}"
