"""What a page holds so that its groups can be corrected."""

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from shared.analysis.near_pairs import near_neighbors
from shared.domain.arrays import Float32
from shared.report import large_files, large_page
from shared.report.data_scripts import UNIT
from shared.report.outside_faces import NONE, outside_in_neighbors
from shared.results.people_file import PEOPLE_COLUMNS, read_people, write_people
from tests.support.large_reports import faces_of, make_large_page, make_large_results
from tests.support.report_pages import digest_of, make_report, save_image
from tests.support.results_folders import BOX, CONTRACT, make_results, people

SIZES = [2, 5, 1, 3, 5, 1]


def _outside(content: Any) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float64]]:
    faces = np.frombuffer(base64.b64decode(content["faces"]), "<u4").reshape(-1, content["count"])
    return faces, np.frombuffer(base64.b64decode(content["distances"]), "<u2").reshape(faces.shape) * UNIT


def _expected(embeddings: Float32, groups: list[int], face: int, most: int) -> npt.NDArray[np.float64]:
    away = np.linalg.norm(embeddings[np.array(groups) != groups[face]].astype(np.float64) - embeddings[face], axis=1)
    found: npt.NDArray[np.float64] = np.sort(away)[:most]
    return found


def test_a_small_page_knows_what_a_face_is_found_again_by(tmp_path: Path) -> None:
    """Image, row, digest and box of each face, the groups as they are shown, and the nearest faces outside of them."""
    for name in ("both.jpg", "c.jpg"):
        save_image(tmp_path / "images" / name)
    embeddings = people(2, 2)
    folder = make_results(
        tmp_path / "j", ["both.jpg", "both.jpg", "c.jpg", "d.jpg"], embeddings, photos=tmp_path / "images"
    )
    data = make_report(folder).data["people"]
    records = data["records"]
    digest = digest_of(tmp_path / "images" / "both.jpg")
    assert records["images"] == ["both.jpg", "both.jpg", "c.jpg", "d.jpg"] and records["rows"] == [0, 1, 2, 3]
    assert records["digests"][:2] == [digest, digest] and records["digests"][3] == ""
    assert records["boxes"] == [list(BOX)] * 4 and data["columns"] == list(PEOPLE_COLUMNS)
    assert data["groups"] == [[0, 1], [2, 3]] and data["copies"] == []
    faces, distances = _outside(data["outside"])
    assert set(faces[0, :2]) == {2, 3} and (faces[:, 2:] == NONE).all()
    for face in range(4):
        np.testing.assert_allclose(distances[face, :2], _expected(embeddings, [0, 0, 1, 1], face, 2), atol=2e-5)


def test_files_of_a_large_page_know_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By place. Faces outside are those of the recorded neighbors."""
    for module in (large_files, large_page):
        monkeypatch.setattr(module, "FACES_A_FILE", 5)
    made = make_large_page(make_large_results(tmp_path / "j", SIZES), monkeypatch)
    rows = [row for number in range(4) for row in made.content("records", number)["rows"]]
    assert rows == [row for number in range(4) for row in made.content("faces", number)["rows"]]
    embeddings = faces_of(SIZES)[rows]
    groups = [0] * 5 + [1] * 5 + [2] * 3 + [3] * 2 + [4, 5]
    for number in range(4):
        faces, distances = _outside(made.content("outside", number))
        for at, place in enumerate(range(5 * number, 5 * number + len(faces))):
            np.testing.assert_allclose(distances[at], _expected(embeddings, groups, place, 6), atol=2e-5)
            assert all(groups[other] != groups[place] for other in faces[at])


def test_what_is_near_a_large_group_is_found_from_outside() -> None:
    """All neighbors of its faces are in it. Pairs that both name are there once, and damaged neighbors are left out."""
    embeddings, groups = faces_of([30, 4, 2, 1]), np.repeat([5, 3, 2, 0], [30, 4, 2, 1])
    recorded = near_neighbors(embeddings, 12, 1)
    named = [{int(face) for face in recorded.of(row)[0] if groups[face] != groups[row]} for row in range(37)]
    assert not any(named[:30])
    faces, distances = outside_in_neighbors(recorded, groups)
    for row in range(37):
        naming = {face for face in range(37) if row in named[face]} if len(named[row]) < 6 else set()
        expected = sorted(np.linalg.norm(embeddings[face] - embeddings[row]) for face in named[row] | naming)[:6]
        there = faces[row] != NONE
        assert len(set(faces[row][there])) == there.sum()
        np.testing.assert_allclose(distances[row][there], expected, atol=1e-5)
    assert (faces[:30] != NONE).any()
    damaged = replace(recorded, faces=np.where(np.arange(len(recorded.faces)) % 3, recorded.faces, 99))
    found = outside_in_neighbors(damaged, groups)[0]
    assert ((found < 37) | (found == NONE)).all()


def test_faces_with_the_same_bytes_are_named(tmp_path: Path) -> None:
    """They cannot be in two groups."""
    embeddings = people(3, 2)
    embeddings[[1, 4]] = embeddings[2]
    page = make_report(make_results(tmp_path / "j", [f"{k}.jpg" for k in range(6)], embeddings))
    assert page.data["people"]["copies"] == [[1, 2, 4]]


def test_other_results_have_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a browser does not take the corrections of one report for those of another."""
    keys = [
        make_report(make_results(tmp_path / str(k) / "j", paths, people(2, 2)), **options).data["people"]["key"]
        for k, (paths, options) in enumerate(
            [
                (["a", "b", "c", "d"], {}),
                (["a", "b", "c", "d"], {}),
                (["a", "b", "c", "e"], {}),
                (list("abcd"), {"threshold": 0.1}),
            ]
        )
    ]
    assert keys[0] == keys[1] and len({*keys}) == 3 and all(key.startswith("facequeue-people:j:") for key in keys)
    folders = [
        make_large_results(tmp_path / name / "j", SIZES, names=names)
        for name, names in (("x", None), ("y", [f"{k}.jpg" for k in range(17)]))
    ]
    large = [make_large_page(folder, monkeypatch).page.data["people"]["key"] for folder in folders]
    assert large[0] != large[1]


def test_a_page_made_with_a_file_has_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As statements about faces of the page; rows about other faces are kept as they are."""
    text = ",".join(PEOPLE_COLUMNS) + "\n"
    box = "10.0000,10.0000,50.0000,60.0000"
    text += f"person,001-01.jpg,1,,{box},=Ann,,,,,,,\n"
    text += f"different,001-00.jpg,0,,{box},,000-00.jpg,0,,{box}\n"
    text += f"person,gone.jpg,7,,{box},Bo,,,,,,,\n"
    (tmp_path / "people.csv").write_text(text)
    corrections = read_people(tmp_path / "people.csv")
    folder = make_large_results(tmp_path / "j", SIZES)
    for data in (
        make_report(folder, corrections=corrections).data,
        make_large_page(folder, monkeypatch, corrections=corrections).page.data,
    ):
        said = data["people"]["statements"]
        assert [(row["kind"], row["person"]) for row in said] == [("person", "=Ann"), ("different", "")]
        assert said[0]["other"] is None and said[1]["other"] is not None
        assert [row[:3] for row in data["people"]["kept"]] == [["person", "gone.jpg", "7"]]
    write_people(tmp_path / "again.csv", corrections)
    assert (tmp_path / "again.csv").read_text() == text


def test_pages_without_groups_cannot_be_corrected(tmp_path: Path) -> None:
    """And neither can those of one group."""
    folder = make_results(tmp_path / "j", ["a", "b", "c"], people(1, 3))
    assert make_report(folder, group=1).data["people"] is None
    contract = CONTRACT.as_dict() | {"margin_px": 0}
    page = make_report(make_results(tmp_path / "k", ["a", "b"], people(1, 2), contract=contract))
    assert page.data["people"] is None and not page.all("button", id="correct")
