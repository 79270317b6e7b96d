"""The numbers behind the page's drawings: the histogram and the curves over time.

The page's own templates draw histogram and curves as SVG, because no library fits: the page must show them without
JavaScript, in light and dark, with labels that stay readable on a phone. plotly.js (4.5 MB in every report), Bokeh and
uPlot (50 kB) draw with JavaScript only. matplotlib's SVG is static, but its colors are fixed, its text shrinks with the
figure, and it would add ten packages to every producer. Here shapes stretch, strokes do not, and labels are HTML.
"""

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32
from shared.results.distances import condensed
from shared.results.reader import Sample

_BIN_WIDTH = 0.02
_MAX_POINTS = 500  # of a curve
_SHORTEST_S, _WIDEST_S = 1e-3, 60.0  # time that one sample stands for
_LABEL_SHARE = 24.0  # percent of the axis that a phase's name takes on a phone


@dataclass(frozen=True)
class Tick:
    """A mark of an axis."""

    share: float
    """Where it stands, in percent of the axis."""
    text: str


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram; all in percent of the picture."""

    left: float
    width: float
    height: float
    near: bool
    """Whether it is within the threshold."""


@dataclass(frozen=True)
class Histogram:
    """A histogram of distances."""

    bars: list[Bar]
    ticks: list[Tick]
    heights: list[Tick]
    """Of the other axis, in pairs."""
    pairs: int
    near: int | None
    """Pairs within the threshold, if there is one."""
    threshold_share: float | None
    """Where the threshold stands, in percent of the axis."""
    smallest: float
    median: float
    largest: float


def ticks(top: float, wanted: int, unit: str = "") -> list[Tick]:
    """About `wanted` round numbers from 0 to `top`: 1, 2, 2.5 or 5 times a power of ten apart."""
    rough = top / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return [
        Tick(100 * k * step / top, f"{round(k * step, 6):,g}{unit}") for k in range(math.floor(top / step + 1e-9) + 1)
    ]


def histogram(square: Float32, threshold: float | None) -> Histogram | None:
    """The histogram of the distances between different faces, from [n, n]; None for fewer than two faces."""
    values = condensed(square, np.float32)
    if not len(values):
        return None
    top = max(_BIN_WIDTH, math.ceil(float(values.max()) / 0.1 + 1e-6) * 0.1)
    bins = round(top / _BIN_WIDTH)
    counts, edges = np.histogram(values, bins=bins, range=(0.0, top))
    peak = int(counts.max())
    bars = [
        Bar(
            100 * left / top,
            100 / bins,
            100 * count / peak,
            threshold is not None and left + _BIN_WIDTH / 2 <= threshold,
        )
        for left, count in zip(edges.tolist(), counts.tolist(), strict=False)
        if count
    ]
    return Histogram(
        bars=bars,
        ticks=ticks(top, 7),
        heights=[tick for tick in ticks(peak, 3) if "." not in tick.text],
        pairs=len(values),
        near=None if threshold is None else int((values <= threshold).sum()),
        threshold_share=None if threshold is None or threshold > top else 100 * threshold / top,
        smallest=float(values.min()),
        median=float(np.median(values)),
        largest=float(values.max()),
    )


@dataclass(frozen=True)
class Curve:
    """A quantity over time."""

    points: str
    """For an SVG polyline in a box of 1000 by 100: `x,y x,y ...`."""
    ticks: list[Tick]
    mean: float
    peak: float


@dataclass(frozen=True)
class Phase:
    """A part of the job, on the axis of time."""

    name: str
    left: float
    """In percent of the axis, as is `width`."""
    width: float
    starts_s: float
    """Since the axis's beginning."""
    seconds: float
    label_left: float
    """Where its name begins, right of the name before it."""
    label_late: bool
    """Whether the name ends at the right edge instead, for lack of space."""


@dataclass(frozen=True)
class WorkerCurves:
    """CPU and memory of one worker."""

    worker: str
    cpu: Curve
    memory: Curve
    samples: int


@dataclass(frozen=True)
class Timeline:
    """All workers of one run on one axis of time."""

    workers: list[WorkerCurves]
    phases: list[Phase]
    ticks: list[Tick]
    seconds: float


Span = tuple[str, str | None, str | None]
"""A phase's name, start and end (ISO 8601)."""


@dataclass(frozen=True)
class Run:
    """The first run of the job, or one retry of its failed images."""

    title: str
    """Empty if there is only one."""
    started: str | None
    spans: list[Span]


def timelines(resources: dict[str, list[Sample]], runs: list[Run]) -> list[tuple[Run, Timeline | None]]:
    """One timeline for each of `runs`, in chronological order. Days may lie between two runs; those are not drawn."""
    begins = [_seconds(run.started) if run.started else -math.inf for run in runs]
    parts: list[dict[str, list[Sample]]] = [{} for _ in runs]
    for worker, samples in resources.items():
        for sample in samples:
            # What was sampled before the first run began, while workers started, is the first run's.
            at = max((k for k, begin in enumerate(begins) if _seconds(sample.time) >= begin), default=0)
            parts[at].setdefault(worker, []).append(sample)
    return [(run, timeline(part, run.spans)) for part, run in zip(parts, runs, strict=True)]


def timeline(resources: dict[str, list[Sample]], spans: list[Span]) -> Timeline | None:
    """Curves of every worker; `spans` are the phases. None without samples."""
    moments = [_seconds(sample.time) for samples in resources.values() for sample in samples]
    if not moments:
        return None
    known = [(name, _seconds(start), _seconds(end)) for name, start, end in spans if start and end]
    zero = min([start for _, start, _ in known] + moments)
    length = max([end for _, _, end in known] + moments) - zero or 1.0
    unit, word = next(
        (size, word) for size, word in ((3600, " h"), (60, " min"), (1, " s")) if length >= 3 * size or size == 1
    )
    cpu_top = max(max(sample.cpu_percent for samples in resources.values() for sample in samples), 100.0) * 1.05
    memory_top = max(max(sample.rss_mib for samples in resources.values() for sample in samples), 1.0) * 1.1
    workers = []
    for worker, samples in resources.items():
        at_s = np.array([_seconds(sample.time) - zero for sample in samples])
        at, weights = at_s / length, _time_of_each(at_s)
        cpu = np.array([sample.cpu_percent for sample in samples])
        memory = np.array([sample.rss_mib for sample in samples])
        workers.append(
            WorkerCurves(
                worker,
                _curve(at, cpu, cpu_top, "%", weights),
                _curve(at, memory, memory_top, "", weights),
                len(samples),
            )
        )
    phases: list[Phase] = []
    for name, start, end in known:
        left = 100 * (start - zero) / length
        label_left = max(left, phases[-1].label_left + _LABEL_SHARE) if phases else left
        phases.append(
            Phase(
                name,
                left,
                100 * (end - start) / length,
                start - zero,
                end - start,
                label_left,
                label_left > 100 - _LABEL_SHARE,
            )
        )
    return Timeline(workers, phases, ticks(length / unit, 6, word), length)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _curve(
    at: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    top: float,
    unit: str,
    weights: npt.NDArray[np.float64],
) -> Curve:
    """`at` [n]: moments, 0 to 1; `values` [n], 0 to `top`; `weights` [n]: the time that each stands for.

    Long curves become the means of equal parts of the time.
    """
    mean, peak = float(np.average(values, weights=weights)), float(values.max())
    if len(values) > _MAX_POINTS:
        part = np.minimum((at * _MAX_POINTS).astype(np.intp), _MAX_POINTS - 1)
        _, part = np.unique(part, return_inverse=True)
        spans = np.bincount(part, weights=weights)
        at, values = (np.bincount(part, weights=each * weights) / spans for each in (at, values))
    points = " ".join(f"{1000 * x:.1f},{100 - 100 * y / top:.2f}" for x, y in zip(at, values, strict=True))
    return Curve(points, ticks(top, 3, unit), mean, peak)


def _time_of_each(at_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Seconds that each of these samples [n] stands for: since the one before, as old samples are thinned.

    Never more than the widest spacing there is: if samples are missing, nothing is known of the time between.
    """
    if len(at_s) < 2:
        return np.ones(len(at_s))
    gaps = np.diff(at_s)
    spans: npt.NDArray[np.float64] = np.clip(np.concatenate([gaps[:1], gaps]), _SHORTEST_S, _WIDEST_S)
    return spans
