"""Results of earlier versions, which lack files and columns, are read by all commands."""

import csv
import json
from pathlib import Path

import pytest

from producer.results.face_people import grouped_people
from producer.results.face_table import FaceTable, TableForm, write_table
from producer.results.queries import show_groups, show_neighbors
from shared.domain.quality_limits import QualityLimits
from shared.report.build import build_report
from shared.results.owner import why_not_replaced
from shared.results.schema import BOX_COLUMNS, FACE_COLUMNS
from tests.support.results_folders import make_results, people, read_page

PATHS = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]


def _earlier(folder: Path) -> Path:
    """Results as the first version wrote them: no digests, neighbors, groups or thumbnails, and only boxes."""
    make_results(folder, PATHS, people(2, 2, spread=0.1))
    (folder / "digests.csv").unlink()
    with (folder / "faces.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "faces.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ("face", "image", "path", *BOX_COLUMNS), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    summary = json.loads((folder / "summary.json").read_text())
    assert not {"uid", "origin", "options"} & set(summary)
    return folder


def test_lists_are_made_of_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Groups and nearest faces are computed."""
    folder = _earlier(tmp_path / "job")
    show_groups(folder, None, QualityLimits(), as_csv=True)
    groups = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["group"] for row in groups] == ["1", "1", "2", "2"]
    show_neighbors(folder, "a.jpg", 1, QualityLimits(), as_csv=True)
    (nearest,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert nearest["neighbor_path"] == "b.jpg"


def test_the_report_and_the_table_have_what_is_there(tmp_path: Path) -> None:
    """Missing columns are missing in the table, and the report goes without them."""
    folder = _earlier(tmp_path / "job")
    assert "a.jpg" in read_page(build_report(folder, None)).source
    found = grouped_people(folder, None, None)
    write_table(FaceTable(folder, found.groups, found.people), TableForm.JSON, tmp_path / "table")
    rows = json.loads((tmp_path / "table").read_text())
    assert [(row["path"], row["group"]) for row in rows] == list(zip(PATHS, (1, 1, 2, 2), strict=True))
    assert not set(FACE_COLUMNS) & set(rows[0]) - {"face", "image", "path", *BOX_COLUMNS}


def test_they_are_replaced_by_a_job_of_the_same_source_only(tmp_path: Path) -> None:
    """Their summary names no origin, so the source decides."""
    folder = _earlier(tmp_path / "job")
    assert why_not_replaced(folder, "origin", "/nowhere/photos") is None
    assert "this job is of /other" in str(why_not_replaced(folder, "origin", "/other"))
