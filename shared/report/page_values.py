"""Works out what the page shows, from a results folder."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from shared.analysis.average_linkage import average_linkage
from shared.analysis.calibration import NEAR_DUPLICATE
from shared.analysis.clustering import MAX_ORDERED_FACES, Groups, find_groups, leaf_order
from shared.analysis.duplicates import find_duplicates
from shared.domain.arrays import Float32
from shared.domain.outcomes import FAILED, Outcome
from shared.report.captions import histogram_alt, no_samples_note, pictures_note, recalled_note, threshold_note
from shared.report.charts import Run, Span, histogram, timelines
from shared.report.heat_map import matrix_views, neighbor_data
from shared.report.profile import costly_functions
from shared.report.rendering import data_uri
from shared.report.thumbnails import Thumbnails
from shared.report.view_model import (
    DuplicatesView,
    FaceView,
    FilesView,
    GroupsView,
    GroupView,
    MachinesView,
    OutcomeView,
    OverviewView,
    PageView,
    ScriptData,
    StageView,
)
from shared.results.distances import Distances, Faces, condensed, evenly_spaced
from shared.results.reader import Results
from shared.results.schema import PROFILES, RESOURCES
from shared.results.tables import Face, Images

MAX_FACES = MAX_ORDERED_FACES
"""The most faces on one page; of a larger job as many, evenly spread over it."""
_MAX_ROWS = 500  # of a table of files
_MAX_WORKERS = 40  # in the table of workers
_MAX_CURVES = 16  # workers whose curves are drawn
_MAX_RUNS = 5  # the first run, and the last retries
_OUTCOME_WORDS = {
    Outcome.OK: "at least one face",
    Outcome.NO_FACE: "no face found",
    Outcome.SKIPPED: "not an image",
    Outcome.UNREADABLE: "cannot be read",
    Outcome.TOO_LARGE: "too large",
    Outcome.TIMEOUT: "took too long",
    Outcome.CRASHED: "ended its process",
}


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


def page_values(
    results: Results, shown: Shown, thumbnails: Thumbnails, threshold: float | None, calibrated: bool
) -> PageView:
    """The values of the page.

    `threshold` is the distance up to which faces are grouped, None for no groups; `calibrated` says whether one is
    known for the job's contract.
    """
    summary = results.summary
    square = shown.distances.among(np.arange(len(shown.faces)))
    tree = average_linkage(square)
    faces = _face_views(results, shown, thumbnails)
    chart = histogram(square, threshold)
    groups = None if threshold is None else find_groups(shown.distances.embeddings, threshold)
    several = len(faces) > 1
    matrix, matrix_data = matrix_views(square, tree, groups) if several else (None, None)
    neighbors = neighbor_data(shown.distances) if several else None
    return PageView(
        job=results.job,
        source=summary.get("source", ""),
        started=summary.get("started"),
        duration_s=_duration_s(summary),
        overview=_overview(results),
        sampled=len(faces) < len(results.faces),
        faces=faces,
        faces_in_order=[faces[k] for k in leaf_order(tree, len(faces))],
        groups=None if groups is None else _groups(groups, faces, square),
        threshold=threshold,
        threshold_note=threshold_note(threshold, calibrated, results.job, len(faces)),
        pictures_note=pictures_note(thumbnails, results.job),
        matrix=matrix,
        histogram=chart,
        histogram_alt=histogram_alt(chart, threshold),
        duplicates=_duplicates(results, shown, faces),
        failures=_files(results.images, "Failed", FAILED),
        harmless=[
            _files(results.images, "No face found", {Outcome.NO_FACE}),
            _files(results.images, "Skipped", {Outcome.SKIPPED}),
        ],
        machines=_machines(results),
        contract=sorted(results.contract.items()),
        versions=summary.get("versions", {}),
        data=ScriptData([face.name for face in faces], threshold, neighbors, matrix_data),
    )


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


def _overview(results: Results) -> OverviewView:
    return OverviewView(
        images=len(results.images),
        faces=len(results.faces),
        failed=sum(outcome in FAILED for outcome in results.images.outcomes),
        images_per_s=results.summary.get("images_per_s"),
        recalled_note=recalled_note(int(results.summary.get("recalled") or 0), len(results.images)),
        outcomes=_outcomes(results.images),
        stages=_stages(results.summary),
    )


def _outcomes(images: Images) -> list[OutcomeView]:
    counts = Counter(images.outcomes)
    names = [name.value for name in Outcome if name in counts] + sorted(set(counts) - set(Outcome))
    words: dict[str, str] = {outcome.value: text for outcome, text in _OUTCOME_WORDS.items()}
    return [OutcomeView(name, words.get(name, ""), counts[name], name in FAILED) for name in names]


def _stages(summary: dict[str, Any]) -> list[StageView]:
    seconds = summary.get("seconds", {})
    total, images = sum(seconds.values()) or 1.0, summary.get("images") or 1
    return [StageView(name, spent, 100 * spent / total, 1000 * spent / images) for name, spent in seconds.items()]


def _groups(groups: Groups, faces: list[FaceView], square: Float32) -> GroupsView:
    people = []
    for members in groups.people:
        inside = condensed(square[np.ix_(members, members)], np.float32)
        people.append(GroupView([faces[k] for k in members], float(inside.min()), float(inside.max())))
    return GroupsView(people, [faces[k] for k in groups.alone], groups.threshold)


def _duplicates(results: Results, shown: Shown, faces: list[FaceView]) -> DuplicatesView:
    found = find_duplicates(results.images, shown.faces, shown.distances)
    return DuplicatesView(
        copies=found.copies,
        copied_files=found.copied_files,
        pairs=[(faces[a], faces[b], distance) for a, b, distance in found.pairs],
        near_pairs=found.near_pairs,
        near_distance=NEAR_DUPLICATE,
    )


def _files(images: Images, title: str, outcomes: Iterable[str]) -> FilesView:
    wanted = set(outcomes)
    rows = [k for k, outcome in enumerate(images.outcomes) if outcome in wanted]
    return FilesView(title, [images[k] for k in rows[:_MAX_ROWS]], max(0, len(rows) - _MAX_ROWS))


def _machines(results: Results) -> MachinesView:
    workers = list(results.summary.get("workers", {}).items())
    samples, more_curves = results.resources(_MAX_CURVES)
    runs = timelines(samples, _runs(results.summary))
    shown_runs = runs if len(runs) <= _MAX_RUNS else [runs[0], *runs[1 - _MAX_RUNS :]]
    sample_files = sum(1 for _ in (results.folder / RESOURCES).glob("*.csv"))
    return MachinesView(
        workers=workers[:_MAX_WORKERS],
        more_workers=max(0, len(workers) - _MAX_WORKERS),
        runs=shown_runs,
        more_runs=len(runs) - len(shown_runs),
        more_curves=more_curves,
        no_samples_note=no_samples_note(_duration_s(results.summary), sample_files),
        costly=costly_functions(results.folder / PROFILES),
    )


def _duration_s(summary: dict[str, Any]) -> float | None:
    started, ended = summary.get("started"), summary.get("ended")
    if not started or not ended:
        return None
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()


def _runs(summary: dict[str, Any]) -> list[Run]:
    retries = summary.get("retries") or []
    titles = ["First run" if retries else "", *("Retry of failed images" for _ in retries)]
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
