"""What the templates show, from a results folder."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from shared.analysis.calibration import NEAR_DUPLICATE
from shared.analysis.clustering import MAX_LINKED_FACES, Groups, average_linkage, cut, leaf_order
from shared.analysis.duplicates import find_duplicates
from shared.domain.arrays import Float32
from shared.domain.outcomes import FAILED, Outcome
from shared.report.captions import histogram_alt, no_samples_note, pictures_note, recalled_note, threshold_note
from shared.report.charts import Run, Span, histogram, timelines
from shared.report.heat_map import matrix_values, neighbour_values
from shared.report.profile import costly_functions
from shared.report.rendering import data_uri
from shared.report.thumbnails import Thumbnails
from shared.results.distances import Distances, Faces, condensed, evenly_spaced
from shared.results.reader import Results
from shared.results.tables import Face, ImageFile, Images

MAX_FACES = MAX_LINKED_FACES
"""On one page; of a larger job as many, spread evenly over it."""
_MAX_ROWS = 500  # of a table of files
_MAX_WORKERS = 40  # in the table of workers
_MAX_CURVES = 16  # workers whose curves are drawn
_MAX_RUNS = 5  # the first time, and the last ones that failed images were tried again
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
        return Shown(rows, list(results.faces), results.distances)
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
    faces = _face_views(results, shown, thumbnails)
    groups = None if threshold is None else cut(tree, len(faces), threshold)
    neighbours = neighbour_values(shown.distances) if len(faces) > 1 else None
    matrix, matrix_data = matrix_values(square, tree, threshold) if len(faces) > 1 else (None, None)
    duplicates = find_duplicates(results.images, shown.faces, shown.distances)
    chart = histogram(square, threshold)
    samples, more_workers = results.resources(_MAX_CURVES)
    runs = timelines(samples, _runs(summary))
    shown_runs = runs if len(runs) <= _MAX_RUNS else [runs[0], *runs[1 - _MAX_RUNS :]]
    return {
        "job": results.job, "source": summary.get("source", ""), "started": summary.get("started"), "duration_s": _duration_s(summary),
        "images": len(results.images), "face_count": len(results.faces), "images_per_s": summary.get("images_per_s"),
        "recalled_note": recalled_note(int(summary.get("recalled") or 0), len(results.images)),
        "outcomes": _outcomes(results.images), "failed": sum(outcome in FAILED for outcome in results.images.outcomes),
        "stages": _stages(summary), "sampled": len(faces) < len(results.faces),
        "faces": faces, "faces_in_order": [faces[k] for k in leaf_order(tree, len(faces))],
        "groups": None if groups is None else _group_views(groups, faces, square),
        "threshold": threshold, "threshold_note": threshold_note(threshold, calibrated, results.job),
        "pictures_note": pictures_note(thumbnails, results.job),
        "matrix": matrix, "histogram": chart, "histogram_alt": histogram_alt(chart, threshold),
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
        "runs": shown_runs, "more_runs": len(runs) - len(shown_runs),
        "no_samples": no_samples_note(_duration_s(summary), len(list((results.folder / "resources").glob("*.csv")))),
        "timeline_more": more_workers,
        "costly": costly_functions(results.folder / "profile"),
        "contract": sorted(results.contract.items()), "versions": summary.get("versions", {}),
        "data": {
            "names": [face.name for face in faces], "threshold": threshold, "neighbours": neighbours, "matrix": matrix_data,
        },
    }  # fmt: skip


def _face_views(results: Results, shown: Shown, thumbnails: Thumbnails) -> list[FaceView]:
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
        views.append(FaceView(index, name, alt, picture, thumbnails.side_px))
    return views


def _group_views(groups: Groups, faces: list[FaceView], square: Float32) -> dict[str, Any]:
    people = []
    for members in groups.people:
        inside = condensed(square[np.ix_(members, members)], np.float32)
        people.append(GroupView([faces[k] for k in members], float(inside.min()), float(inside.max())))
    return {
        "people": people,
        "alone": [faces[k] for k in groups.alone],
        "threshold": groups.threshold,
        "method": groups.method,
    }


def _outcomes(images: Images) -> list[dict[str, Any]]:
    counts = Counter(images.outcomes)
    names = [name.value for name in Outcome if name in counts] + sorted(set(counts) - set(Outcome))
    words: dict[str, str] = {outcome.value: text for outcome, text in _WORDS.items()}
    return [
        {"name": name, "words": words.get(name, ""), "files": counts[name], "failed": name in FAILED} for name in names
    ]


def _files(images: Images, title: str, outcomes: Iterable[str]) -> FilesView:
    wanted = set(outcomes)
    rows = [k for k, outcome in enumerate(images.outcomes) if outcome in wanted]
    return FilesView(title, [images[k] for k in rows[:_MAX_ROWS]], max(0, len(rows) - _MAX_ROWS))


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


def _runs(summary: dict[str, Any]) -> list[Run]:
    retries = summary.get("retries") or []
    titles = ["The first time" if retries else "", *("Failed images tried again" for _ in retries)]
    return [
        Run(title, entry.get("started"), _spans(entry))
        for title, entry in zip(titles, [summary, *retries], strict=True)
    ]


def _spans(entry: dict[str, Any]) -> list[Span]:
    phases = entry.get("phases") or {}
    return [
        ("embedding", entry.get("started"), entry.get("ended")),
        ("distances", phases.get("distances_started"), phases.get("distances_ended")),
    ]
