"""The sections that the small and the large page have in common, from a results folder."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from shared.analysis.calibration import calibration_of
from shared.analysis.people_groups import PeopleGroups
from shared.analysis.strangers import expect_strangers
from shared.domain.arrays import Float32
from shared.domain.outcomes import FAILED, Outcome
from shared.report.captions import (
    calibration_note,
    histogram_alt,
    model_note,
    no_samples_note,
    people_note,
    recalled_note,
    strangers_note,
    threshold_note,
)
from shared.report.charts import Run, Span, histogram, timelines
from shared.report.profile import costly_functions
from shared.report.view_model import FilesView, MachinesView, OutcomeView, OverviewView, StageView
from shared.results.left_out import LeftOut
from shared.results.model_words import model_of
from shared.results.reader import Results
from shared.results.schema import PROFILES, RESOURCES
from shared.results.tables import Images

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


def common_values(
    results: Results,
    *,
    groups: int | None,
    part: str,
    square: Float32,
    threshold: float | None,
    faces: int,
    people: PeopleGroups | None,
    left_out: LeftOut,
) -> dict[str, Any]:
    """The values that small and large pages have in common, by their name in `PageView`.

    `square` [n, n] are the distances of the histogram, `faces` is the number of faces that the page is
    about. The job's faces that are `left_out` are in no group.
    """
    chart, summary = histogram(square, threshold), results.summary
    calibration = calibration_of(results.contract)
    grouped = len(results.faces) - left_out.count
    strangers = None
    if calibration is not None and threshold is not None and grouped > 1:
        strangers = expect_strangers(grouped, threshold, calibration)
    return {
        "model_note": model_note(model_of(summary)),
        "calibration_note": calibration_note(results.contract),
        "strangers": strangers,
        "strangers_note": "" if strangers is None else strangers_note(strangers),
        "job": results.job,
        "part": part,
        "source": summary.get("source", ""),
        "started": summary.get("started"),
        "duration_s": _duration_s(summary),
        "overview": _overview(results, groups),
        "shown_faces": faces,
        "threshold": threshold,
        "threshold_note": threshold_note(threshold, results.contract, results.job, grouped),
        "people_note": "" if people is None else people_note(people),
        "histogram": chart,
        "histogram_alt": histogram_alt(chart, threshold),
        "failures": _files(results.images, "Failed", FAILED),
        "harmless": [
            _files(results.images, "No face found", {Outcome.NO_FACE}),
            _files(results.images, "Skipped", {Outcome.SKIPPED}),
        ],
        "machines": _machines(results),
        "contract": sorted(results.contract.items()),
        "versions": summary.get("versions", {}),
    }


def _overview(results: Results, groups: int | None) -> OverviewView:
    return OverviewView(
        images=len(results.images),
        faces=len(results.faces),
        groups=groups,
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
