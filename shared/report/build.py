"""Builds the `report.html` of a results folder."""

from collections.abc import Mapping
from pathlib import Path

from jinja2 import TemplateError

from shared.analysis.calibration import same_person_threshold
from shared.archives.opening import is_archive
from shared.domain.durable_files import replace_content
from shared.domain.errors import ResultsError
from shared.domain.paths import printable
from shared.report.page_values import choose_faces, page_values
from shared.report.rendering import render
from shared.report.thumbnails import cut_thumbnails
from shared.results.reader import Results, damaged_results
from shared.results.recorded_digests import recorded_digests
from shared.results.schema import REPORT


def images_folder(folder: Path) -> Path | None:
    """The folder of the job's images, if it exists on this machine."""
    source = str(Results(folder).summary.get("source") or "")
    path = Path(source).parent if is_archive(source) and Path(source).is_file() else Path(source)
    return path if source and path.is_dir() else None


def build_report(
    folder: Path,
    images: Path | None,
    *,
    threshold: float | None = None,
    thumbnail_seconds: float | None = None,
    ready: Mapping[int, bytes] | None = None,
) -> Path:
    """Writes `folder/report.html`, whole or not at all, and returns its path.

    `ready` are the thumbnails at hand (by row of `faces.csv`). The others are cut from `images`, the folder that the
    paths in `faces.csv` are relative to; without it, these faces have none. A file gives a thumbnail only if its digest
    is the one in `digests.csv`. `threshold` is the Euclidean distance up to
    which faces are grouped; its default is the one calibrated for the job's contract, if there is one. ResultsError
    says why no report can be written.
    """
    results = Results(folder)
    calibrated = same_person_threshold(results.contract)
    shown = choose_faces(results)
    rows = shown.rows.tolist()
    at_hand = {place: ready[row] for place, row in enumerate(rows) if row in ready} if ready else {}
    others = {face.path for place, face in enumerate(shown.faces) if place not in at_hand}
    digests = recorded_digests(folder, others) if images is not None and others else {}
    thumbnails = cut_thumbnails(shown.faces, results.images, digests, images, ready=at_hand, seconds=thumbnail_seconds)
    chosen = calibrated if threshold is None else threshold
    try:
        page = render(page_values(results, shown, thumbnails, chosen, calibrated is not None)).encode()
    # The summary has many values, and in a damaged one any of them can have the wrong type.
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, TemplateError) as error:
        raise damaged_results(folder, error) from None
    target = folder / REPORT
    try:
        replace_content(target, page)
    except OSError as error:
        raise ResultsError(
            f"{printable(str(target))} cannot be written: {error.strerror or error}. Solve that, then write the report "
            "again."
        ) from None
    return target
