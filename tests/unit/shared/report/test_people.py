"""Reports of corrected groups."""

from pathlib import Path

import pytest

from shared.analysis.contradictions import Contradiction
from shared.domain.errors import InvalidRequest
from shared.domain.paths import ShownPath
from shared.report.build import ReportRequest, build_report
from shared.results.corrections import Correction, FaceReference, Kind
from tests.support.large_reports import make_large_page, make_large_results
from tests.support.report_pages import make_report
from tests.support.results_folders import CONTRACT, make_results, people

SIZES = [2, 5, 1, 3, 5, 1]


def _face(path: str) -> FaceReference:
    return FaceReference(ShownPath(path))


CORRECTIONS = [
    Correction(Kind.PERSON, _face("003-01.jpg"), "<b>Zoë</b>"),
    Correction(Kind.PERSON, _face("002-00.jpg"), "Ann"),
    Correction(Kind.DIFFERENT, _face("001-00.jpg"), "", _face("001-01.jpg")),
    *(Correction(Kind.HIDDEN, _face(f"000-0{k}.jpg")) for k in range(2)),
    Correction(Kind.HIDDEN, _face("gone.jpg")),
]


def test_a_small_page_shows_names_and_no_hidden_faces(tmp_path: Path) -> None:
    """A person with one photo has a group too. Names are text."""
    page = make_report(make_large_results(tmp_path / "j", SIZES), corrections=CORRECTIONS)
    headings = [element.text.strip() for element in page.all("bdi")]
    assert "<b>Zoë</b>" in headings and "Ann" in headings and "<b>Zoë" not in page.source
    names = [element.text for element in page.all("bdi") if element.text.endswith(".jpg")]
    assert "003-00.jpg" in names and not [name for name in names if name.startswith("000-")]
    assert len(page.all("figure", class_="face suggested")) == 2
    assert "2 people with a name: 2 faces confirmed, 2 suggested. 2 faces hidden." in page.text
    assert "1 of 6 corrections names faces that are not in this job" in page.text


def test_a_large_page_has_the_same_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Group after group, without the hidden faces; a person with one photo is a group of one."""
    made = make_large_page(make_large_results(tmp_path / "j", SIZES), monkeypatch, corrections=CORRECTIONS)
    faces, data = made.content("faces"), made.page.data
    assert [name[:3] for name in faces["names"]] == ["004"] * 5 + ["001"] * 4 + ["003"] * 3 + ["002", "001", "005"]
    assert data["group_sizes"] == [[5, 1], [4, 1], [3, 1], [1, 1]] and data["faces"] == 15
    assert made.content("groups")["people"] == ["", "", "<b>Zoë</b>", "Ann"]
    assert sorted(faces["names"][place] for place in faces["suggested"]) == ["003-00.jpg", "003-02.jpg"]
    assert "2 people with a name: 2 faces confirmed, 2 suggested. 2 faces hidden." in made.page.text


def test_a_page_of_one_group_is_that_of_the_corrected_groups(tmp_path: Path) -> None:
    """It is named by its person."""
    folder = make_large_results(tmp_path / "j", SIZES)
    page = make_report(folder, corrections=CORRECTIONS, group=3)
    assert sorted(page.data["names"]) == ["003-00.jpg", "003-01.jpg", "003-02.jpg"]
    assert page.all("h1")[0].text == "j: group 3, <b>Zoë</b>"
    with pytest.raises(InvalidRequest, match=r"no group 5\. Its groups are 1 to 4"):
        build_report(folder, None, ReportRequest(corrections=CORRECTIONS, group=5))


def test_corrections_that_exclude_each_other_leave_the_report_as_it_was(tmp_path: Path) -> None:
    """So does a job without a threshold."""
    folder = make_large_results(tmp_path / "j", SIZES)
    before = build_report(folder, None).read_bytes()
    wrong = [Correction(Kind.PERSON, _face("002-00.jpg"), name) for name in ("Ann", "Bob")]
    with pytest.raises(Contradiction, match=r"002-00\.jpg is Ann; 002-00\.jpg is Bob"):
        build_report(folder, None, ReportRequest(corrections=wrong))
    assert (folder / "report.html").read_bytes() == before
    contract = CONTRACT.as_dict() | {"weights": "own-x", "weights_sha256": "0" * 64}
    other = make_results(tmp_path / "other", ["a.jpg", "b.jpg"], people(1, 2), contract=contract)
    with pytest.raises(InvalidRequest, match="--threshold D"):
        build_report(other, None, ReportRequest(corrections=[]))
