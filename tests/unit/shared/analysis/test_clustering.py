"""Neighbors and groups of faces, compared with independent answers, and the commands that show them."""

import csv
import io
import sys
from pathlib import Path

import numpy as np
import pytest

from producer.cli.app import main
from shared.analysis.calibration import SAME_PERSON, same_person_threshold
from shared.analysis.clustering import find_groups
from shared.analysis.neighbors import nearest
from shared.results.distances import Distances, evenly_spaced
from shared.results.neighbors_file import Neighbors, NeighborsWriter
from tests.support.results_folders import CONTRACT, make_results, people


def _brute_force(embeddings: np.ndarray) -> np.ndarray:
    a = embeddings.astype(np.float64)
    return np.sqrt(((a[:, None, :] - a[None, :, :]) ** 2).sum(axis=2))


@pytest.mark.parametrize("matrix", [True, False])
def test_neighbors_are_those_of_brute_force(matrix: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without distances.npy, and across block boundaries."""
    monkeypatch.setattr("shared.analysis.neighbors.TILE_ROWS", 7)
    monkeypatch.setattr("shared.analysis.neighbors.BLOCK_COLUMNS", 11)
    monkeypatch.setattr("shared.results.distances.TILE_ROWS", 7)
    embeddings = people(10, 5)
    expected = _brute_force(embeddings)
    distances = Distances(embeddings, expected.astype(np.float32) if matrix else None)
    rows, found = nearest(distances, np.arange(50), 6)
    np.fill_diagonal(expected, np.inf)
    assert (rows == np.argsort(expected, axis=1, kind="stable")[:, :6]).all()
    assert np.abs(found - np.sort(expected, axis=1)[:, :6]).max() < 1e-6


@pytest.mark.parametrize("columns", [1, 3, 1000])
@pytest.mark.parametrize("count", [1, 4, 7, 29])
def test_nearest_faces_do_not_depend_on_the_blocks(columns: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """This covers blocks without nearer faces, blocks smaller than the answer, and ties in different blocks."""
    monkeypatch.setattr("shared.analysis.neighbors.BLOCK_COLUMNS", columns)
    embeddings = np.tile(people(10, 1), (3, 1))
    matrix = Distances(embeddings).among(np.arange(30))
    some = np.array([17, 0, 29])
    expected = matrix[some].copy()
    expected[np.arange(3), some] = np.inf
    rows, found = nearest(Distances(embeddings, matrix), some, count)
    assert (rows == np.argsort(expected, axis=1, kind="stable")[:, :count]).all()
    assert (found == np.sort(expected, axis=1)[:, :count]).all()


def test_equally_near_faces_come_in_the_order_of_their_rows() -> None:
    """This holds even if there are more of them than requested. A face is never its own neighbor."""
    same = np.tile(people(1, 1), (5, 1))
    rows, found = nearest(Distances(same), np.arange(5), 3)
    assert rows.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2]]
    assert found.max() < 1e-7


@pytest.mark.parametrize(("count", "expected"), [(0, (0, 0)), (1, (1, 0)), (2, (2, 1))])
def test_there_are_no_more_neighbors_than_other_faces(count: int, expected: tuple[int, int]) -> None:
    """A job with no face or one face has no neighbors, and no error."""
    rows, _ = nearest(Distances(people(1, max(count, 1))[:count]), np.arange(count), 10)
    assert rows.shape == expected


def test_distances_among_some_are_exactly_symmetric_and_0_to_oneself() -> None:
    """They equal those in distances.npy."""
    embeddings = people(4, 5)
    distances = Distances(embeddings)
    some = np.array([3, 0, 17])
    found = distances.among(some)
    assert (found == found.T).all() and (np.diag(found) == 0).all()
    assert np.abs(found - _brute_force(embeddings)[np.ix_(some, some)]).max() < 1e-6


def test_people_are_found_largest_group_first() -> None:
    """Groups of five, three and one face, ordered by their first face if sizes are equal."""
    embeddings = np.concatenate([people(1, 3, 1), people(1, 5, 2), people(1, 1, 3), people(1, 3, 4)])
    found = find_groups(embeddings, SAME_PERSON)
    assert found.members == [[3, 4, 5, 6, 7], [0, 1, 2], [9, 10, 11], [8]]
    assert found.alone == [8]


def test_a_chain_of_faces_is_no_person() -> None:
    """Each face is near the next one, but the ends are far apart: connected components would merge them."""
    angles = np.deg2rad(np.arange(0, 150, 25))
    chain = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    steps = np.linalg.norm(np.diff(chain, axis=0), axis=1)
    found = find_groups(chain, 0.6)
    assert steps.max() < 0.6 and len(found.members) > 1


def test_copies_take_no_places_among_the_nearest() -> None:
    """Forty copies of each face would fill all of them, and nobody's two photographs would meet."""
    embeddings = people(30, 4, spread=0.4)
    once, copied = find_groups(embeddings, SAME_PERSON), find_groups(np.tile(embeddings, (40, 1)), SAME_PERSON)
    assert len(once.people) == 30
    assert copied.members == [sorted(face + 120 * k for face in faces for k in range(40)) for faces in once.members]


def test_groups_are_the_same_every_time() -> None:
    """This includes random and equal faces."""
    embeddings = np.concatenate([people(300, 1, 5), np.tile(people(1, 1, 6), (20, 1))])
    found = [find_groups(embeddings, 1.3).members for _ in range(3)]
    assert found[0] == found[1] == found[2]
    assert sorted(face for group in found[0] for face in group) == list(range(320))


def test_a_sample_is_spread_evenly() -> None:
    """It includes the first and the last, and none twice."""
    assert evenly_spaced(5, 10).tolist() == [0, 1, 2, 3, 4]
    chosen = evenly_spaced(99_999, 1000)
    assert len(set(chosen.tolist())) == 1000 and chosen[0] == 0 and chosen[-1] == 99_998


def test_the_threshold_belongs_to_one_contract() -> None:
    """Backend and versions do not matter; other weights, margins or detectors do."""
    contract = CONTRACT.as_dict()
    assert same_person_threshold(contract | {"backend": "openvino 1"}) == SAME_PERSON
    assert same_person_threshold(contract | {"faces": "center", "mode": "exact"}) == SAME_PERSON
    assert same_person_threshold(contract | {"precision": "bf16"}) == SAME_PERSON
    for change in (
        {"margin_px": 14},
        {"weights": "vggface2"},
        {"faces": "all"},
        {"mirror": True},
        {"precision": "f16"},
        {"pipeline_version": 1},
    ):
        assert same_person_threshold(contract | change) is None, change
    assert same_person_threshold({}) is None


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder of the job `trip`: three people with four photographs each. `both.jpg` shows two of them."""
    embeddings = people(3, 4)
    paths = [f"{name}/{k}.jpg" for name in ("ann", "bob", "cy") for k in range(4)]
    paths[0] = paths[4] = "both.jpg"
    bad = {"image": 99, "path": "broken.jpg", "outcome": "unreadable", "error": "empty file"}
    make_results(tmp_path / "trip", paths, embeddings, more=[bad])
    return tmp_path


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["producer", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(str(ended.value.code))


def test_neighbors_as_csv(results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every face of an image has its own neighbors."""
    assert _run(monkeypatch, "neighbors", "trip", "both.jpg", "-k", "3", "--csv", "--results", str(results)) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["face"], row["rank"]) for row in rows] == [(face, rank) for face in "04" for rank in "123"]
    assert {row["neighbor_path"] for row in rows[:3]} == {"ann/1.jpg", "ann/2.jpg", "ann/3.jpg"}
    assert {row["neighbor"] for row in rows[3:]} == {"5", "6", "7"}
    matrix = np.load(results / "trip" / "distances.npy")
    assert all(abs(float(row["distance"]) - matrix[int(row["face"]), int(row["neighbor"])]) < 1e-4 for row in rows)


def test_neighbors_as_a_table_without_a_matrix(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The end of a path is enough if it is unique."""
    (results / "trip" / "distances.npy").unlink()
    assert _run(monkeypatch, "neighbors", "trip", "1.jpg", "--results", str(results)) == 2
    assert "The paths of 3 images end in 1.jpg: ann/1.jpg, bob/1.jpg, cy/1.jpg." in capsys.readouterr().err
    assert _run(monkeypatch, "neighbors", "trip", "cy/1.jpg", "-k", "2", "--results", str(results)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "cy/1.jpg: 1 face" and lines[1].split() == ["face", "rank", "neighbor", "distance", "path"]
    assert len(lines) == 4 and all("cy/" in line for line in lines[2:])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("bob/11.jpg", "No image bob/11.jpg in trip. Similar paths: bob/1.jpg"),
        ("elsewhere/bothh.jpg", "Similar paths: both.jpg"),
        ("zzz", "images.csv lists all images"),
        ("broken.jpg", "broken.jpg has no face to compare: unreadable (empty file)."),
    ],
)
def test_an_image_that_is_not_there_names_close_ones(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], image: str, message: str
) -> None:
    """The exit code is 2, with one line."""
    assert _run(monkeypatch, "neighbors", "trip", image, "--results", str(results)) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


@pytest.mark.parametrize("job", ["trap", "../trip", ".", "trip/"])
def test_an_unknown_job_names_those_that_are_there(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], job: str
) -> None:
    """Nothing outside the results folder is read."""
    (results / "inner").mkdir()
    code = _run(monkeypatch, "groups", job, "--results", str(results / "inner" if ".." in job else results))
    assert code == (0 if job == "trip/" else 2)
    if code:
        assert "No results of a job" in capsys.readouterr().err


def test_groups_as_csv_hold_every_face_once(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Single faces are groups of one."""
    assert _run(monkeypatch, "groups", "trip", "--csv", "--results", str(results)) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["group"], row["faces"], row["face"]) for row in rows] == [
        (str(1 + face // 4), "4", str(face)) for face in range(12)
    ]
    assert rows[4]["path"] == "both.jpg"


def test_groups_as_a_table(results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The table names its threshold."""
    assert _run(monkeypatch, "groups", "trip", "--threshold", "0.1", "--results", str(results)) == 0
    assert "0 groups of two or more faces, 12 faces alone, at a distance of 0.1." in capsys.readouterr().out


def test_groups_say_how_many_false_pairs_to_expect(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The number is for these faces and this threshold, on standard error, so that CSV stays valid."""
    assert _run(monkeypatch, "groups", "trip", "--csv", "--results", str(results)) == 0
    said = capsys.readouterr()
    assert "If all 12 faces were of different people, about 0.018 of their 66 pairs would be expected" in said.err
    assert "expected" not in said.out
    assert _run(monkeypatch, "groups", "trip", "--threshold", "1.1", "--results", str(results)) == 0
    assert "about 0.51 of their 66 pairs would be expected within 1.1 (0.44 to 0.59" in capsys.readouterr().err


@pytest.mark.parametrize("other", [-1, 12])
@pytest.mark.parametrize("copied", [True, False])
def test_neighbors_that_do_not_exist_are_said(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], other: int, copied: bool
) -> None:
    """In one line, by all who read a damaged neighbors.npz, with copies among the faces or without."""
    embeddings = people(3, 4)
    if copied:
        embeddings[1] = embeddings[0]
    make_results(results / "damaged", [f"{face}.jpg" for face in range(12)], embeddings)
    with NeighborsWriter(results / "damaged" / "neighbors.npz", 12) as file:
        file.add(Neighbors(np.arange(13), np.full(12, other, np.int32), np.zeros(12, np.float32)))
    for command in (["groups", "damaged", "--threshold", "0.9"], ["neighbors", "damaged", "0.jpg", "-k", "1"]):
        assert _run(monkeypatch, *command, "--results", str(results)) == 1
        assert "neighbors.npz names faces that do not exist" in capsys.readouterr().err


def test_another_contract_has_no_threshold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """None is invented. A given one is used, with a note that it is not calibrated."""
    contract = CONTRACT.as_dict() | {"weights": "own-x", "weights_sha256": "0" * 64}
    make_results(tmp_path / "j", ["a.jpg", "b.jpg"], people(1, 2), contract=contract)
    assert _run(monkeypatch, "groups", "j", "--results", str(tmp_path)) == 2
    assert "No threshold is calibrated" in capsys.readouterr().err
    assert _run(monkeypatch, "groups", "j", "--threshold", "1", "--csv", "--results", str(tmp_path)) == 0
    said = capsys.readouterr()
    assert "No threshold is calibrated for facenet with this job's options" in said.err
    assert said.out.splitlines()[1:] == ["1,2,0,a.jpg,", "1,2,1,b.jpg,"]


def test_people_with_many_photographs_stay_together() -> None:
    """More of them than the nearest neighbors that a face has."""
    random = np.random.default_rng(3)
    centers, noise = random.normal(size=(4, 512)), random.normal(size=(4, 150, 512))
    faces = (centers[:, None] / np.linalg.norm(centers, axis=1)[:, None, None] + noise * 0.6 / 512**0.5).reshape(
        -1, 512
    )
    embeddings = (faces / np.linalg.norm(faces, axis=1, keepdims=True)).astype(np.float32)
    assert [len(group) for group in find_groups(embeddings, SAME_PERSON).members] == [150] * 4
