"""The contents of a report: the job, its faces and their groups."""

import base64
from pathlib import Path

import numpy as np
import pytest

from shared.analysis.calibration import SAME_PERSON
from shared.domain.quality_limits import QualityLimits
from tests.support.report_pages import make_report, report_with, save_image
from tests.support.results_folders import CONTRACT, make_results, people


def test_a_job_without_faces(tmp_path: Path) -> None:
    """The page says so, and offers nothing that needs faces."""
    skipped = {"image": 0, "path": "notes.txt", "outcome": "skipped", "error": "neither"}
    page = make_report(
        make_results(tmp_path / "j", [], np.empty((0, 512), np.float32), more=[skipped], images_per_s=None)
    )
    assert "No face was found" in page.text and "notes.txt" in page.text and "not measured" in page.text
    assert page.data == {"names": [], "threshold": SAME_PERSON, "neighbors": None, "matrix": None, "people": None}


def test_one_face(tmp_path: Path) -> None:
    """The face is shown, without comparisons."""
    page = make_report(make_results(tmp_path / "j", ["me.jpg"], people(1, 1)))
    assert "One face has nothing to be compared with" in page.text and "me.jpg" in page.text
    assert len(page.all("figure", class_="face")) == 1


def test_97_faces(tmp_path: Path) -> None:
    """Counts, groups, heat map, histogram and neighbors equal those of brute force."""
    embeddings = people(24, 4)
    embeddings = np.concatenate([embeddings, people(1, 1, 9)])
    paths = [f"{k:03d}.jpg" for k in range(97)]
    bad = {"image": 97, "path": "bad.jpg", "outcome": "unreadable", "error": "damaged: truncated"}
    none = {"image": 98, "path": "wall.jpg", "outcome": "no_face"}
    folder = make_results(tmp_path / "party", paths, embeddings, more=[bad, none])
    page = make_report(folder)
    assert "24 groups of two faces and more, 1 face alone" in page.text
    assert "If all 97 faces were of different people, about 1.3 of their 4,656 pairs would be expected" in page.text
    assert "bad.jpg" in page.text and "damaged: truncated" in page.text and "No face found: 1 file" in page.text
    assert len({e.attributes["id"] for e in page.all("figure", class_="face")}) == 97
    matrix = np.load(folder / "distances.npy")
    upper = matrix[np.triu_indices(97, 1)]
    assert f"4,656 pairs, {upper.min():.2f} to {upper.max():.2f}" in page.text
    assert f"{(upper <= SAME_PERSON).sum():,} at or below {SAME_PERSON}" in page.text
    data = page.data["matrix"]
    order = np.array(data["order"])
    cells = np.frombuffer(base64.b64decode(data["cells"]), "<u2") * data["unit"]
    assert sorted(order) == list(range(97))
    assert np.abs(cells - matrix[np.ix_(order, order)][np.triu_indices(97, 1)]).max() < 1e-4
    assert len(data["squares"]) == 24 and all(end - start == 4 for start, end in data["squares"])
    near = page.data["neighbors"]
    rows = np.frombuffer(base64.b64decode(near["faces"]), "<u2").reshape(97, near["count"])
    assert (rows[0, :3] == np.argsort(matrix[0], kind="stable")[1:4]).all()
    assert len(page.source) < 3e6


def test_several_faces_of_an_image_are_told_apart(tmp_path: Path) -> None:
    """They are numbered within the image, and each has its own picture."""
    save_image(tmp_path / "images" / "both.jpg")
    page = report_with(tmp_path, ["both.jpg", "both.jpg", "c.jpg"], people(1, 3))
    assert page.data["names"] == ["both.jpg (1/2)", "both.jpg (2/2)", "c.jpg"]
    assert [e.attributes["alt"] for e in page.all("img")][:2] == [
        "Face 0, 1 of 2 in both.jpg",
        "Face 1, 2 of 2 in both.jpg",
    ]


def test_without_the_matrix_the_page_is_the_same(tmp_path: Path) -> None:
    """Distances then come from the embeddings."""
    pages = [
        make_report(make_results(tmp_path / str(k) / "j", ["a", "b", "c", "d"], people(2, 2), matrix=matrix)).source
        for k, matrix in enumerate((True, False))
    ]
    assert pages[0] == pages[1]


def test_2000_faces_in_seconds(tmp_path: Path) -> None:
    """The heat map shows a sample and says so; the groups cover all faces."""
    page = make_report(make_results(tmp_path / "j", [f"{k}.jpg" for k in range(2000)], people(500, 4)))
    assert "Shown are 1,000 of 2,000 faces" in page.text and "500 groups of two faces and more" in page.text
    assert page.data["matrix"]["size"] == 1000 and len(page.data["names"]) == 2000
    assert len(page.source) < 10e6


@pytest.mark.parametrize(
    ("recalled", "words"),
    [(2, "All 2 images were known from an earlier job"), (1, "1 of them was known"), (0, None)],
)
def test_recalled_images_are_said_beside_the_speed(tmp_path: Path, recalled: int, words: str | None) -> None:
    """They were not computed, so the speed is not that of the networks."""
    page = make_report(make_results(tmp_path / "j", ["a.jpg", "b.jpg"], people(2, 1), recalled=recalled))
    assert (words or "12.5 images/s") in page.text
    assert ("not computed again" in page.text) == bool(words)


def test_duplicates_are_suspected(tmp_path: Path) -> None:
    """Copies are found by their bytes and near faces by distance; a pair is not repeated for a copy of its file."""
    embeddings = np.concatenate([np.tile(people(1, 1, 1), (3, 1)), people(2, 1, 2)])
    embeddings[2] += 0.001
    folder = make_results(tmp_path / "j", [f"{k}.jpg" for k in range(5)], embeddings, same_as={"1.jpg": "0.jpg"})
    page = make_report(folder)
    assert "1 copy of other files" in page.text and "0.jpg is also 1.jpg" in page.text
    assert [e.attributes["data-pair"] for e in page.all("span", class_="thumbs")] == ["0 2"]
    assert "1 pair within" in page.text


def test_another_contract_has_no_groups(tmp_path: Path) -> None:
    """The page says why. A given threshold is used."""
    contract = CONTRACT.as_dict() | {"margin_px": 0}
    folder = make_results(tmp_path / "j", ["a.jpg", "b.jpg"], people(1, 2), contract=contract)
    page = make_report(folder)
    assert "No threshold is calibrated for facenet with this job's options" in page.text
    assert page.data["threshold"] is None
    page = make_report(folder, threshold=0.9)
    assert "The threshold 0.9 was given by hand" in page.text and "1 group of two faces" in page.text
    assert "would be expected" not in page.text


def test_faces_below_the_limits_are_shown_apart(tmp_path: Path) -> None:
    """They are on the page, with the reason, and in no group."""
    folder = make_results(
        tmp_path / "j", [f"{k}.jpg" for k in range(7)], people(2, 4)[:7], quality={1: {"sharpness": 1.5}}
    )
    page = make_report(folder, limits=QualityLimits(sharpness=2))
    assert "2 groups of two faces and more, 0 faces alone, 1 left out" in page.text
    assert "1 face is left out of the groups: 1 with a sharpness below 2." in page.text
    assert len(page.all("figure", class_="face")) == 7
