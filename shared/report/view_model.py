"""What the page shows: the values that its templates and scripts name, section by section."""

from dataclasses import dataclass
from typing import Any

from shared.analysis.strangers import Strangers
from shared.domain.paths import ShownPath
from shared.report.charts import Histogram, Run, Tick, Timeline
from shared.report.face_records import FaceRecords
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
    person: str = ""
    """The name of the person of its group; empty without one."""
    status: str = ""
    """Whether somebody has named this face (`confirmed`), or it is a suggestion (`suggested`)."""


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
    groups: int | None
    """Groups of two faces and more; None if faces are not grouped."""
    failed: int
    images_per_s: float | None
    recalled_note: str
    outcomes: list[OutcomeView]
    stages: list[StageView]


@dataclass(frozen=True)
class GroupView:
    """Two faces or more, and the smallest and largest distance between any two of them; or one with a name."""

    faces: list[FaceView]
    closest: float
    widest: float
    person: str = ""
    """The name; empty without one."""


@dataclass(frozen=True)
class GroupsView:
    """All faces of the page, in groups and alone."""

    people: list[GroupView]
    alone: list[FaceView]
    left_out: list[FaceView]
    """The faces that are in no group because of their quality."""
    left_out_note: str
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
    near_pairs_cut: bool
    """Whether there may be more."""
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
class OutsideData:
    """The nearest faces outside of each face's group for the script."""

    count: int
    """How many there are of each face."""
    faces: str
    """uint32 in base64, `count` for each face; the largest number where there are fewer."""
    distances: str
    """uint16 in base64, in steps of `unit`."""
    unit: float


@dataclass(frozen=True)
class StatementData:
    """A row of people.csv, about faces of the page."""

    kind: str
    face: int
    other: int | None
    person: str


@dataclass(frozen=True, kw_only=True)
class PeopleData:
    """What the scripts that correct groups read. The faces of a large page are in files."""

    key: str
    """Under which a browser keeps the corrections: another one for other faces or groups."""
    columns: list[str]
    """Of people.csv."""
    groups: list[list[int]]
    """The faces of each group that a small page shows as such."""
    copies: list[list[int]]
    """Faces with equal embeddings, which are always in one group."""
    records: FaceRecords | None
    """Of all faces, of a small page."""
    outside: OutsideData | None
    """Of all faces, of a small page."""
    statements: list[StatementData]
    """What the file that the report was made with says about faces of the page."""
    kept: list[list[str]]
    """Rows of that file about other faces, which are saved again."""


@dataclass(frozen=True)
class ScriptData:
    """What the scripts of a small page read, as JSON."""

    names: list[str]
    threshold: float | None
    neighbors: NeighborData | None
    matrix: MatrixData | None
    people: PeopleData | None
    """None if groups cannot be corrected: there are none, or the page is about one."""


@dataclass(frozen=True)
class KnownFace:
    """A face of a large page that its scripts need not look for."""

    place: int
    name: str
    row: int
    """In faces.csv."""
    picture: int
    """The number of its thumbnail, -1 if it has none."""
    suggested: bool
    """Whether it is in the group of a person, and nobody has said that it is this person."""


@dataclass(frozen=True, kw_only=True)
class LargeData:
    """What the scripts of a large page read, as JSON. Faces are named by their place (`face_order`)."""

    threshold: float | None
    matrix: MatrixData | None
    files: str
    """The folder with the files, relative to the page."""
    faces: int
    group_sizes: list[tuple[int, int]]
    """Runs of groups of one size: the size, and how many have it."""
    first_group: int
    left_out: int
    """Faces at the last places that are in no group because of their quality."""
    faces_a_file: int
    groups_a_file: int
    pair_groups: list[int]
    """How many groups the files with the distances within groups have, one after the other."""
    most_in_matrix: int
    """Faces of a group whose distances are there."""
    at_first: int
    """Faces of a group that are shown at first."""
    neighbors: bool
    """Whether there are files with the nearest faces."""
    strangers: Strangers | None
    """How many faces of other people groups may have; None if that is not known."""
    unit: float
    """Step of the distances in the files."""
    sheet_columns: int
    sheet_rows: int
    colors: list[str]
    top: float
    """The distance of the darkest color of all heat maps."""
    known: list[KnownFace]
    people: PeopleData | None
    """None if groups cannot be corrected: there are none, or the page is about one."""


@dataclass(frozen=True, kw_only=True)
class PageView:
    """What every page shows."""

    job: str
    part: str
    """What part of the job's faces the page is about; empty for all."""
    source: str
    model_note: str
    calibration_note: str
    strangers: Strangers | None
    """How many faces of other people groups may have; None if that is not known."""
    strangers_note: str
    started: str | None
    duration_s: float | None
    overview: OverviewView
    shown_faces: int
    """The faces that the page is about."""
    sampled: bool
    """Whether distances are those of a sample."""
    threshold: float | None
    threshold_note: str
    people_note: str
    """How many people have names, and how many faces are hidden; empty without corrections."""
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


@dataclass(frozen=True, kw_only=True)
class SmallPageView(PageView):
    """A page with everything in one file."""

    faces: list[FaceView]
    faces_in_order: list[FaceView]
    """The same faces, similar ones side by side."""
    groups: GroupsView | None
    data: ScriptData


@dataclass(frozen=True, kw_only=True)
class LargePageView(PageView):
    """A page that loads faces and pictures from files beside it."""

    grouped: int
    """Faces in groups of two and more."""
    left_out: int
    """Faces that are in no group because of their quality."""
    left_out_note: str
    group_count: int | None
    pictured: int
    """Faces with a thumbnail."""
    data: LargeData
