"""Builds the report of a results folder: one page, and for many faces a folder with files beside it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jinja2 import TemplateError

from shared.analysis.calibration import same_person_threshold, why_not_calibrated
from shared.analysis.grouping import find_grouping, recorded_grouping
from shared.analysis.people_groups import PeopleGroups, group_people
from shared.archives.opening import is_archive
from shared.domain.durable_files import replace_content
from shared.domain.errors import InvalidRequest, ResultsError
from shared.domain.options import DEFAULT_REPORT_FACES
from shared.domain.paths import printable
from shared.domain.quality_limits import DEFAULT_LIMITS, QualityLimits
from shared.report.face_order import FaceOrder, one_group, order_faces, order_people, ungrouped
from shared.report.large_page import LargeReport, build_large_page
from shared.report.page_values import MAX_FACES, Shown, all_faces, page_values, part_of, some_faces
from shared.report.rendering import render
from shared.report.report_files import remove_leftovers, remove_others
from shared.report.thumbnails import cut_thumbnails
from shared.report.view_model import LargePageView, SmallPageView
from shared.results.corrections import Correction
from shared.results.left_out import LeftOut, find_left_out
from shared.results.reader import Results, damaged_results, read_summary, reading
from shared.results.recorded_digests import recorded_digests
from shared.results.schema import REPORT, REPORT_FILES, THUMBNAILS
from shared.results.thumbnail_file import thumbnails_in


def images_folder(folder: Path) -> Path | None:
    """The folder of the job's images, if it exists on this machine."""
    with reading(folder):
        source = str(read_summary(folder).get("source") or "")
    path = Path(source).parent if is_archive(source) and Path(source).is_file() else Path(source)
    return path if source and path.is_dir() else None


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """What the report is to show."""

    threshold: float | None = None
    """The Euclidean distance up to which faces are grouped; None for the one calibrated for the job's contract."""
    limits: QualityLimits = DEFAULT_LIMITS
    """Faces below these are in no group."""
    group: int | None = None
    """The group that the page is about; None for all faces."""
    pictures: int = DEFAULT_REPORT_FACES
    """The most faces with a thumbnail, of a large page."""
    thumbnail_seconds: float | None = None
    """No further thumbnail is cut from an image after this time."""
    corrections: Sequence[Correction] | None = None
    """What groups have to keep to, and the names of people; None for groups as they were computed."""
    may_compare: bool = True
    """Whether faces are compared if the results have no neighbors of them; that takes time with every pair."""


def build_report(folder: Path, images: Path | None, request: ReportRequest = ReportRequest()) -> Path:
    """Writes `folder/report.html`, or `report-group-G.html`, whole or not at all, and returns its path.

    More than `MAX_FACES` faces are in files beside it. Thumbnails are those that the workers have cut; others are cut
    from `images`, the folder that the paths in `faces.csv` are relative to; without it, these faces have none. A file
    gives a thumbnail only if its digest is the one in `digests.csv`. ResultsError says why no report can be written.
    """
    results = Results(folder)
    ready = thumbnails_in(folder / THUMBNAILS)
    beside = folder / (REPORT_FILES if request.group is None else f"{REPORT_FILES}-group-{request.group}")
    target = folder / (REPORT if request.group is None else f"{beside.name}.html")
    with _explained(folder, target):
        remove_leftovers(folder)
        view = _view(results, request, images, ready, beside)
        replace_content(target, render(view).encode())
        remove_others(beside, view.data.files.split("/")[-1] if isinstance(view, LargePageView) else None)
    return target


def _view(
    results: Results, request: ReportRequest, images: Path | None, ready: Mapping[int, bytes], beside: Path
) -> SmallPageView | LargePageView:
    calibrated = same_person_threshold(results.contract)
    threshold = calibrated if request.threshold is None else request.threshold
    with reading(results.folder):
        left_out = find_left_out(results.folder, len(results.faces), request.limits)
    people = _people(results, request, threshold, left_out)
    if people is not None:
        left_out = people.left_out
    faces = all_faces(results) if people is None else some_faces(results, people.shown)
    if request.group is None and len(faces.rows) <= MAX_FACES:
        return _small(results, faces, request, images, ready, threshold, people, left_out)
    order = _order(results, request, threshold, calibrated, left_out) if people is None else order_people(people)
    if order is None:
        order, threshold = ungrouped(len(results.faces)), None
    part = ""
    if request.group is not None:
        order = _only(order, request.group, results.job, people)
        if len(order) <= MAX_FACES:
            shown = some_faces(results, order.rows, request.group)
            return _small(results, shown, request, images, ready, threshold, people, left_out)
        part = part_of(request.group, order.rows, people)
    report = LargeReport(
        results=results,
        order=order,
        neighbors=results.neighbors,
        threshold=threshold,
        people=people,
        left_out=left_out,
        part=part,
        pictures=request.pictures if request.group is None else len(order),
    )
    return build_large_page(report, beside, ready, images, request.thumbnail_seconds)


def _small(
    results: Results,
    shown: Shown,
    request: ReportRequest,
    images: Path | None,
    ready: Mapping[int, bytes],
    threshold: float | None,
    people: PeopleGroups | None,
    left_out: LeftOut,
) -> SmallPageView:
    rows = shown.rows.tolist()
    at_hand = {place: jpeg for place, row in enumerate(rows) if (jpeg := ready.get(row)) is not None}
    others = {face.path for place, face in enumerate(shown.faces) if place not in at_hand}
    digests = recorded_digests(results.folder, others) if images is not None and others else {}
    seconds = request.thumbnail_seconds
    thumbnails = cut_thumbnails(shown.faces, results.images, digests, images, ready=at_hand, seconds=seconds)
    return page_values(results, shown, thumbnails, threshold, people, left_out)


def _people(
    results: Results, request: ReportRequest, threshold: float | None, left_out: LeftOut
) -> PeopleGroups | None:
    if request.corrections is None:
        return None
    if threshold is None:
        raise InvalidRequest(
            f"{why_not_calibrated(results.contract)} So there are no groups to correct. Give one with --threshold D."
        )
    embeddings, neighbors = results.distances.embeddings, results.neighbors
    return group_people(results.folder, request.corrections, embeddings, neighbors, threshold, left_out)


def _order(
    results: Results, request: ReportRequest, threshold: float | None, calibrated: float | None, left_out: LeftOut
) -> FaceOrder | None:
    """The order by groups; None if faces are not grouped."""
    if threshold is None:
        return None
    with reading(results.folder):
        found = recorded_grouping(results.folder, len(results.faces), threshold, calibrated, request.limits)
    if found is None:
        if results.neighbors is None and not request.may_compare:
            return None
        found = find_grouping(results.distances.embeddings, results.neighbors, threshold, left_out=left_out.faces)
    return order_faces(found.numbers, found.distances, left_out=left_out.faces)


def _only(order: FaceOrder, group: int, job: str, people: PeopleGroups | None) -> FaceOrder:
    try:
        return one_group(order, group)
    except LookupError:
        count = len(order.sizes)
        kind = "Its groups of two faces and more" if people is None else "Its groups"
        there = f"{kind} are 1 to {count}." if count else "Its faces are not in groups."
        raise InvalidRequest(f"Job '{job}' has no group {group}. {there}") from None


@contextmanager
def _explained(folder: Path, target: Path) -> Iterator[None]:
    try:
        yield
    # The summary has many values, and in a damaged one any of them can have the wrong type.
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, TemplateError) as error:
        raise damaged_results(folder, error) from None
    except OSError as error:
        raise ResultsError(
            f"{printable(str(target))} cannot be written: {error.strerror or error}. Fix that, then write the report "
            "again."
        ) from None
