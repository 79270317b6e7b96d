"""Which faces are below the limits of quality, and what becomes of them."""

import csv
import io
import sys
from pathlib import Path

import numpy as np
import pytest

from producer.cli.app import main
from shared.analysis.calibration import SAME_PERSON
from shared.analysis.clustering import find_groups
from shared.analysis.copies import find_copies
from shared.analysis.face_neighbors import rows_of_faces
from shared.analysis.grouping import find_grouping
from shared.analysis.near_pairs import near_neighbors
from shared.analysis.neighbors import nearest
from shared.domain.quality_limits import QualityLimits
from shared.results.distances import Distances
from shared.results.left_out import find_left_out
from shared.results.neighbors_file import Neighbors
from tests.support.results_folders import make_results, people

SMALL, DOUBTFUL, BLURRED = {"x2": 20.0}, {"probability": 0.5}, {"sharpness": 3.25}
LIMITS = ["--min-face", "20", "--min-probability", "0.9", "--min-sharpness", "5"]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three people with four photos each. One photo of each is bad, in another way, and one in two ways."""
    paths = [f"{name}/{k}.jpg" for name in ("ann", "bob", "cy") for k in range(4)]
    quality = {0: SMALL, 5: DOUBTFUL, 11: BLURRED, 10: SMALL | BLURRED}
    make_results(tmp_path / "trip", paths, people(3, 4), quality=quality)
    return tmp_path


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["producer", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(str(ended.value.code))


def test_a_face_below_a_limit_is_left_out(results: Path) -> None:
    """With the reasons. What is exactly at a limit is not below it; 0 excludes none."""
    limits = QualityLimits(size_px=20, probability=0.9, sharpness=5)
    found = find_left_out(results / "trip", 12, limits)
    assert np.flatnonzero(found.faces).tolist() == [0, 5, 10, 11] and found.count == 4
    assert [found.reasons(face) for face in (0, 1, 5, 10, 11)] == [
        *("size", "", "probability", "size sharpness", "sharpness")
    ]
    at_limits = QualityLimits(size_px=10, probability=0.5, sharpness=3.25)
    assert find_left_out(results / "trip", 12, at_limits).count == 0
    assert find_left_out(results / "trip", 12, QualityLimits()).count == 0
    with pytest.raises(ValueError, match="12 faces instead of 11"):
        find_left_out(results / "trip", 11, limits)


@pytest.mark.parametrize("seed", range(4))
def test_groups_are_those_of_the_other_faces_alone(seed: int) -> None:
    """As if the faces left out were not there, also with copies and with recorded neighbors; each of them is alone."""
    random = np.random.default_rng(seed)
    embeddings = people(20, 5, seed, spread=0.7)
    embeddings = embeddings[random.permutation(np.append(np.arange(100), random.integers(0, 100, 30)))]
    left_out = random.random(100) < 0.3
    left_out = left_out[find_copies(embeddings).number]  # equal embeddings have equal quality
    rest = np.flatnonzero(~left_out)
    expected = {tuple(rest[faces].tolist()) for faces in find_groups(embeddings[rest], 1.1).members}
    expected |= {(face,) for face in np.flatnonzero(left_out).tolist()}
    found = find_groups(embeddings, 1.1, left_out)
    assert set(map(tuple, found.members)) == expected and found.left_out == np.flatnonzero(left_out).tolist()
    assert {face for group in found.people for face in group}.isdisjoint(found.left_out)
    assert set(found.alone).isdisjoint(found.left_out)
    grouping = find_grouping(embeddings, _recorded(embeddings), 1.1, left_out=left_out)
    assert {tuple(faces.tolist()) for faces in grouping.members()} == expected
    assert not grouping.distances[left_out].any()


def _recorded(embeddings: np.ndarray) -> Neighbors:
    copies = find_copies(embeddings)
    distinct = near_neighbors(embeddings[copies.first], 64, within=SAME_PERSON)
    (rows,) = rows_of_faces(distinct, copies)
    return rows


@pytest.mark.parametrize("matrix", [True, False])
def test_the_nearest_are_those_of_the_other_faces(matrix: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also across blocks, and if fewer are left than asked for."""
    monkeypatch.setattr("shared.analysis.neighbors.BLOCK_COLUMNS", 7)
    embeddings = people(6, 5)
    every = Distances(embeddings).among(np.arange(30))
    left_out = np.arange(30) % 3 == 1
    rows, found = nearest(Distances(embeddings, every if matrix else None), np.arange(30), 25, left_out)
    for face in range(30):
        others = np.array([k for k in range(30) if k != face and not left_out[k]])
        order = others[np.argsort(every[face, others], kind="stable")]
        assert rows[face, np.isfinite(found[face])].tolist() == order[:25].tolist()


def test_groups_show_the_faces_that_are_left_out(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the CSV with the reason, in words with their number; false pairs are expected among the others."""
    assert _run(monkeypatch, "groups", "trip", *LIMITS, "--csv", "--results", str(results)) == 0
    said = capsys.readouterr()
    rows = {row["face"]: row for row in csv.DictReader(io.StringIO(said.out))}
    assert {face: row["left_out"] for face, row in rows.items() if row["left_out"]} == {
        "0": "size",
        "5": "probability",
        "10": "size sharpness",
        "11": "sharpness",
    }
    assert [rows[str(face)]["faces"] for face in range(12)] == [*"1333", *"3133", *"2211"]
    assert (
        "4 faces are left out of the groups: 2 smaller than 20 px, 1 with a probability below 0.9, 2 with a sharpness "
        "below 5." in said.err
    )
    assert "If all 8 faces were of different people" in said.err
    assert _run(monkeypatch, "groups", "trip", *LIMITS, "--results", str(results)) == 0
    assert "3 groups of two or more faces, 0 faces alone" in capsys.readouterr().out


def test_neighbors_below_the_limits_are_not_listed(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The face that was asked for is, whatever its quality."""
    assert (
        _run(monkeypatch, "neighbors", "trip", "ann/0.jpg", *LIMITS, "-k", "11", "--csv", "--results", str(results))
        == 0
    )
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert sorted(int(row["neighbor"]) for row in rows) == [1, 2, 3, 4, 6, 7, 8, 9]
    assert {row["neighbor"] for row in rows[:3]} == {"1", "2", "3"}


def test_results_of_an_earlier_version_have_no_sharpness(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their boxes and probabilities are enough for the other limits. Asking for sharpness is an error of one line; the
    default limit holds for none of them.
    """
    table = results / "trip" / "faces.csv"
    rows = list(csv.DictReader(table.read_text().splitlines()))
    columns = [name for name in rows[0] if name not in ("size_px", "sharpness", "yaw", "roll_deg", "inside")]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    assert _run(monkeypatch, "groups", "trip", *LIMITS[:4], "--results", str(results)) == 0
    assert "3 faces are left out" in capsys.readouterr().err
    assert _run(monkeypatch, "groups", "trip", *LIMITS, "--results", str(results)) == 2
    error = capsys.readouterr().err
    assert "did not measure sharpness" in error and "--fresh" in error and "Traceback" not in error
