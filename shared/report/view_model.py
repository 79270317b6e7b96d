"""What the page shows: the values that its templates and scripts name, section by section."""

from dataclasses import dataclass
from typing import Any

from shared.domain.paths import ShownPath
from shared.report.charts import Histogram, Run, Tick, Timeline
from shared.report.profile import CostlyFunction
from shared.results.tables import ImageFile


@dataclass(frozen=True)
class FaceView:
    """A face as the page shows it; `index` counts the faces of the page."""

    index: int
    name: str
    alt: str
    picture: str | None
    side_px: int


@dataclass(frozen=True)
class OutcomeView:
    """An outcome, and how many files had it."""

    name: str
    words: str
    files: int
    failed: bool


@dataclass(frozen=True)
class StageView:
    """The time that a stage took, summed over all worker processes."""

    name: str
    seconds: float
    share: float
    """Of all stages, in percent."""
    ms_an_image: float


@dataclass(frozen=True)
class OverviewView:
    """The figures of the whole job."""

    images: int
    faces: int
    failed: int
    images_per_s: float | None
    recalled_note: str
    outcomes: list[OutcomeView]
    stages: list[StageView]


@dataclass(frozen=True)
class GroupView:
    """Two faces or more, and the smallest and largest distance between any two of them."""

    faces: list[FaceView]
    closest: float
    widest: float


@dataclass(frozen=True)
class GroupsView:
    """All faces of the page, in groups and alone."""

    people: list[GroupView]
    alone: list[FaceView]
    threshold: float


@dataclass(frozen=True)
class MatrixView:
    """The heat map as a picture with its axis and caption."""

    size: int
    """Faces on each axis."""
    sampled: bool
    """Whether the page has more faces than that."""
    top: float
    """The distance of the darkest color."""
    picture: str
    colors: str
    alt: str
    ticks: list[Tick]
    threshold_share: float | None
    """Where the threshold stands, in percent of the axis."""


@dataclass(frozen=True)
class DuplicatesView:
    """Files that may be the same photo."""

    copies: list[tuple[ShownPath, list[ShownPath]]]
    copied_files: int
    pairs: list[tuple[FaceView, FaceView, float]]
    near_pairs: int
    near_distance: float
    """Up to this distance two faces are a pair."""


@dataclass(frozen=True)
class FilesView:
    """Some files, and how many more there are."""

    title: str
    rows: list[ImageFile]
    more: int


@dataclass(frozen=True)
class MachinesView:
    """The worker processes, and what they used while the job ran."""

    workers: list[tuple[str, dict[str, Any]]]
    """The processes by name, with their figures from summary.json."""
    more_workers: int
    runs: list[tuple[Run, Timeline | None]]
    more_runs: int
    more_curves: int
    """Workers whose curves are not drawn."""
    no_samples_note: str
    costly: list[CostlyFunction]


@dataclass(frozen=True)
class MatrixData:
    """The heat map for the script."""

    size: int
    order: list[int]
    """The faces, from the top of the matrix to its bottom."""
    cells: str
    """The distances above the diagonal, row after row: uint16 in base64, in steps of `unit`."""
    unit: float
    first: tuple[int, int]
    """Row and column of the closest pair."""
    squares: list[tuple[int, int]]
    """The beginning and end of each group on the diagonal."""


@dataclass(frozen=True)
class NeighborData:
    """The nearest faces of every face for the script."""

    count: int
    """How many there are of each face."""
    faces: str
    """uint16 in base64, `count` for each face."""
    distances: str
    """The same, in steps of `unit`."""
    unit: float


@dataclass(frozen=True)
class ScriptData:
    """What the page's scripts read, as JSON."""

    names: list[str]
    threshold: float | None
    neighbors: NeighborData | None
    matrix: MatrixData | None


@dataclass(frozen=True)
class PageView:
    """The whole page."""

    job: str
    source: str
    started: str | None
    duration_s: float | None
    overview: OverviewView
    sampled: bool
    """Whether the job has more faces than the page."""
    faces: list[FaceView]
    faces_in_order: list[FaceView]
    """The same faces, similar ones side by side."""
    groups: GroupsView | None
    threshold: float | None
    threshold_note: str
    pictures_note: str
    matrix: MatrixView | None
    histogram: Histogram | None
    histogram_alt: str
    duplicates: DuplicatesView
    failures: FilesView
    harmless: list[FilesView]
    machines: MachinesView
    contract: list[tuple[str, Any]]
    versions: dict[str, Any]
    data: ScriptData
