"""A report of many faces: a page, and the files beside it."""

import base64
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.domain.errors import InvalidRequest
from shared.domain.quality_limits import QualityLimits
from shared.report import build, large_files
from shared.report.build import ReportRequest, build_report
from shared.report.face_order import FaceOrder
from shared.report.picture_choice import choose_pictured
from tests.support.large_reports import color_of, faces_of, make_large_page, make_large_results
from tests.support.report_pages import save_image
from tests.support.results_folders import CONTRACT

SIZES = [2, 5, 1, 3, 5, 1]


def test_the_largest_group_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the others, those alone last; in a group the medoid comes first, and the others by their distance to it."""
    made = make_large_page(make_large_results(tmp_path / "j", SIZES), monkeypatch)
    data, faces = made.page.data, made.content("faces")
    people = [name[:3] for name in faces["names"]]
    assert people == ["001"] * 5 + ["004"] * 5 + ["003"] * 3 + ["000"] * 2 + ["002", "005"]
    assert data["group_sizes"] == [[5, 2], [3, 1], [2, 1]] and data["faces"] == 17 and data["first_group"] == 1
    embeddings = faces_of(SIZES).astype(np.float64)
    for start, size in ((0, 5), (5, 5), (10, 3), (13, 2)):
        rows = faces["rows"][start : start + size]
        among = np.linalg.norm(embeddings[rows][:, None] - embeddings[rows], axis=2)
        assert among[0].sum() == pytest.approx(among.sum(axis=1).min())
        assert (np.diff(among[0]) >= 0).all()
    assert "4 groups of two faces and more, 2 faces alone" in made.page.text


def test_files_hold_what_the_embeddings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances within groups, the farthest face of each, and the nearest faces with their distances."""
    monkeypatch.setattr(large_files, "FACES_A_FILE", 4)
    made = make_large_page(make_large_results(tmp_path / "j", SIZES), monkeypatch)
    rows = [row for number in range(5) for row in made.content("faces", number)["rows"]]
    embeddings = faces_of(SIZES).astype(np.float64)[rows]
    among = np.linalg.norm(embeddings[:, None] - embeddings, axis=2)
    expected = [among[start : start + size, start : start + size] for start, size in ((0, 5), (5, 5), (10, 3), (13, 2))]
    within = made.distances(made.content("pairs")["distances"])
    np.testing.assert_allclose(within, np.concatenate([e[np.triu_indices(len(e), 1)] for e in expected]), atol=2e-5)
    farthest = made.distances(made.content("groups")["farthest"])
    np.testing.assert_allclose(farthest, [e[0].max() for e in expected], atol=2e-5)
    near = made.content("near", 1)
    places = np.frombuffer(base64.b64decode(near["faces"]), "<u4").reshape(4, near["count"])
    distances = made.distances(near["distances"]).reshape(places.shape)
    for k, place in enumerate(range(4, 8)):
        np.testing.assert_allclose(distances[k], np.sort(among[place])[1 : near["count"] + 1], atol=2e-5)
        np.testing.assert_allclose(among[place, places[k]], distances[k], atol=2e-5)


def test_large_groups_are_sampled_and_small_ones_left_out_beyond_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The distances within groups have bounds for each group and for all."""
    monkeypatch.setattr("shared.report.group_pairs.MOST_FACES", 3)
    monkeypatch.setattr("shared.report.group_pairs._MOST_BYTES", 2 * 7)
    made = make_large_page(make_large_results(tmp_path / "j", SIZES), monkeypatch)
    assert made.page.data["pair_groups"] == [2]
    rows = np.array(made.content("faces")["rows"])[[0, 1, 3]]
    some = faces_of(SIZES)[rows].astype(np.float64)
    expected = [np.linalg.norm(some[a] - some[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(made.distances(made.content("pairs")["distances"])[:3], expected, atol=2e-5)


def test_pictures_are_on_sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is that of its face. Faces without one have no number, and the page says how many have one."""
    made = make_large_page(make_large_results(tmp_path / "j", SIZES), monkeypatch, pictures=9)
    faces = made.content("faces")
    sheet = Image.open(made.files / "sheet-0001.jpg")
    pictured = [k for k, picture in enumerate(faces["pictures"]) if picture >= 0]
    assert len(pictured) == 9 and sheet.size == (1600, 1600)
    for place in pictured:
        number = faces["pictures"][place]
        pixel = sheet.getpixel((number % 20 * 80 + 40, number // 20 * 80 + 40))
        assert np.abs(np.array(pixel) - color_of(faces["rows"][place])).max() < 12
    assert "9 of 17 faces have a picture" in made.page.text and "--report-faces N" in made.page.text


def test_pictures_are_shared_out() -> None:
    """Half goes to the faces shown first of the largest groups, half to the first faces of the others."""
    sizes = np.array([40, 30, 4, 3, 2])
    order = FaceOrder(np.arange(82), np.zeros(82, np.float32), sizes)
    everybody = np.ones(82, bool)
    assert choose_pictured(order, 200, everybody).tolist() == list(range(82))
    assert choose_pictured(order, 0, everybody).tolist() == []
    chosen = choose_pictured(order, 60, everybody).tolist()
    # 24 and 6; the first faces of the small groups, then of those that are left; faces alone would come last.
    assert chosen == [*range(26), *range(40, 65), *range(70, 79)]
    few = choose_pictured(order, 6, everybody).tolist()
    assert few == [0, 1, 2, 40, 70, 74]
    at_hand = everybody.copy()
    at_hand[:41] = False
    assert choose_pictured(order, 4, at_hand).tolist() == [41, 42, 70, 74]


def test_pictures_come_from_the_images_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What workers have not cut is cut from the file that was embedded; missing ones are counted."""
    photos = tmp_path / "images"
    names = [f"{k}.jpg" for k in range(12)]
    for name in names[2:]:
        save_image(photos / name)
    folder = make_large_results(tmp_path / "j", [6, 6], names=names, pictured=1, photos=photos)
    monkeypatch.setattr(build, "MAX_FACES", 10)
    text = build_report(folder, photos).read_text()
    assert "11 of 12 faces have a picture" in text and "The images of 1 face are not on this machine" in text


def test_names_neither_run_nor_mark_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with markup, quotes or a script's end stays text: the scripts are ASCII."""
    names = [f"{k}.jpg" for k in range(12)]
    names[3], names[4], names[5] = "</script><b>x.jpg", "\"',\\.jpg", "&amp;ü.jpg"
    made = make_large_page(make_large_results(tmp_path / "j", [6, 6], names=names), monkeypatch)
    assert sorted(made.content("faces")["names"]) == sorted(names)
    for script in made.files.glob("*.js"):
        assert script.read_bytes().isascii() and not set("<>&") & set(script.read_text())
    assert "<b>x" not in made.page.source


def test_faces_of_one_image_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their names say which of them they are."""
    names = ["a.jpg", "a.jpg", "b.jpg", "c.jpg", "c.jpg", "c.jpg", *(f"{k}.jpg" for k in range(6))]
    made = make_large_page(make_large_results(tmp_path / "j", [12], names=names), monkeypatch)
    shown = dict(zip(made.content("faces")["rows"], made.content("faces")["names"], strict=True))
    assert [shown[k] for k in range(6)] == [
        *("a.jpg (1/2)", "a.jpg (2/2)", "b.jpg", "c.jpg (1/3)", "c.jpg (2/3)", "c.jpg (3/3)")
    ]


def test_a_new_report_replaces_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same folder gives the same bytes under the same name, another report another name; nothing else is left. A
    small one needs no files.
    """
    folder = make_large_results(tmp_path / "j", SIZES)
    (folder / ".report.1-left").mkdir()
    (folder / ".report.html.2-left").touch()
    before = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    first = make_large_page(folder, monkeypatch)
    assert {path.name for path in folder.iterdir()} == before | {"report.html", "report"}
    contents = {path.name: path.read_bytes() for path in first.files.iterdir()}
    (first.files / "faces-0001.js").unlink()
    again = make_large_page(folder, monkeypatch)
    assert again.files == first.files and again.page.source == first.page.source
    assert {path.name: path.read_bytes() for path in again.files.iterdir()} == contents
    other = make_large_page(folder, monkeypatch, pictures=3)
    assert other.files != first.files and list((folder / "report").iterdir()) == [other.files]
    monkeypatch.setattr(build, "MAX_FACES", 100)
    build_report(folder, None)
    assert not (folder / "report").exists()


def test_files_are_not_written_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link in the place of the folder is replaced, and what it leads to is left alone."""
    folder, victim = make_large_results(tmp_path / "j", SIZES), tmp_path / "victim"
    victim.mkdir()
    (victim / "dear.txt").touch()
    (folder / "report").symlink_to(victim)
    made = make_large_page(folder, monkeypatch)
    assert made.content("faces")["names"] and [path.name for path in victim.iterdir()] == ["dear.txt"]
    assert not (folder / "report").is_symlink()


def test_a_page_of_one_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has all faces of the group, in one file or with files of its own, and leaves the other report alone."""
    folder = make_large_results(tmp_path / "j", [12, 4, 1])
    whole = make_large_page(folder, monkeypatch)
    small = build_report(folder, None, ReportRequest(group=2))
    assert small == folder / "report-group-2.html"
    assert "j: group 2" in small.read_text() and "001-03.jpg" in small.read_text()
    large = make_large_page(folder, monkeypatch, group=1, pictures=2)
    assert large.files.parent == folder / "report-group-1" and whole.files.exists()
    assert len(large.content("faces")["names"]) == 12 and min(large.content("faces")["pictures"]) == 0
    assert large.page.data["first_group"] == 1
    for group in (0, 3, 9):
        with pytest.raises(InvalidRequest, match=r"has no group \d\. Its groups of two faces and more are 1 to 2\."):
            build_report(folder, None, ReportRequest(group=group))


def test_results_without_neighbors_or_threshold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups are found where there is time; otherwise, and without a threshold, faces come as in faces.csv."""
    folder = make_large_results(tmp_path / "j", SIZES)
    (folder / "neighbors.npz").unlink()
    found = make_large_page(folder, monkeypatch)
    assert found.page.data["group_sizes"] == [[5, 2], [3, 1], [2, 1]] and not found.page.data["neighbors"]
    quick = make_large_page(folder, monkeypatch, may_compare=False)
    assert quick.page.data["group_sizes"] == [] and quick.content("faces")["rows"] == list(range(17))
    contract = CONTRACT.as_dict() | {"margin_px": 0}
    other = make_large_page(make_large_results(tmp_path / "k", SIZES, contract=contract), monkeypatch)
    assert other.page.data["group_sizes"] == [] and "No threshold is calibrated" in other.page.text


def test_near_duplicates_are_those_of_the_neighbors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest pair first, each once."""
    monkeypatch.setattr("shared.analysis.duplicates.NEAR_DUPLICATE", 0.6)
    made = make_large_page(make_large_results(tmp_path / "j", SIZES), monkeypatch)
    embeddings = faces_of(SIZES).astype(np.float64)
    rows = made.content("faces")["rows"]
    among = np.linalg.norm(embeddings[:, None] - embeddings, axis=2)
    one, other = np.nonzero(np.triu(among <= 0.6, 1))
    nearest = sorted(zip(among[one, other].tolist(), one.tolist(), other.tolist(), strict=True))
    pairs = [str(e.attributes["data-pair"]) for e in made.page.all("span", class_="thumbs")]
    assert pairs and [sorted(rows[int(k)] for k in pair.split()) for pair in pairs] == [[a, b] for _, a, b in nearest]


def test_faces_below_the_limits_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After those alone; the page says how many they are, and why."""
    quality = {0: {"x2": 15.0}, 9: {"probability": 0.4}, 7: {"x2": 15.0}}
    folder = make_large_results(tmp_path / "j", SIZES, quality=quality)
    limits = QualityLimits(size_px=20, probability=0.9)
    made = make_large_page(folder, monkeypatch, limits=limits)
    data, rows = made.page.data, made.content("faces")["rows"]
    assert data["left_out"] == 3 and rows[-3:] == [0, 7, 9]
    assert data["group_sizes"] == [[5, 2], [2, 1]] and rows[12:14] == [1, 16]
    assert "3 groups of two faces and more, 2 faces alone, 3 left out" in made.page.text
    assert "3 faces are left out of the groups: 2 smaller than 20 px, 1 with a probability below 0.9." in made.page.text
    assert make_large_page(folder, monkeypatch).page.data["left_out"] == 0
