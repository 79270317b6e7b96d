"""Groups with the names of people, on the command line."""

import csv
import io
import sys
from pathlib import Path

import numpy as np
import pytest

from producer.cli.app import main
from shared.analysis.constraints import NOBODY
from shared.analysis.near_pairs import near_neighbors
from shared.analysis.nearest_people import nearest_people
from shared.analysis.people_groups import PeopleGroups, group_people
from shared.domain.paths import ShownPath
from shared.domain.quality_limits import DEFAULT_LIMITS, QualityLimits
from shared.report.face_order import order_people
from shared.results.corrections import Correction, FaceReference, Kind
from shared.results.left_out import find_left_out
from shared.results.neighbors_file import NeighborsWriter
from shared.results.people_file import write_people
from tests.support.results_folders import BOX, make_results, people

THRESHOLD = 0.9
PATHS = [f"{name}/{k}.jpg" for name in ("ann", "bob", "cy") for k in range(4)]


def _face(path: str) -> FaceReference:
    return FaceReference(ShownPath(path), BOX)


def _person(path: str, name: str) -> Correction:
    return Correction(Kind.PERSON, _face(path), name)


def _different(path: str, other: str) -> Correction:
    return Correction(Kind.DIFFERENT, _face(path), "", _face(other))


CORRECTIONS = [
    _person("ann/0.jpg", "Ann"),
    _different("ann/3.jpg", "ann/0.jpg"),
    _person("bob/0.jpg", "Bob [1]"),
    Correction(Kind.SAME, _face("bob/0.jpg"), "", _face("bob/1.jpg")),
    Correction(Kind.HIDDEN, _face("cy/3.jpg")),
    _person("gone.jpg", "Dee"),
]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder of the job `trip`: three people with four photographs each, some of them blurred."""
    bad = {face: {"sharpness": 1.0} for face in (1, 2, 5, 7)}
    folder = make_results(tmp_path / "trip", PATHS, people(3, 4), quality=bad)
    with NeighborsWriter(folder / "neighbors.npz", 12) as file:
        file.add(near_neighbors(people(3, 4), 11))
    write_people(tmp_path / "people.csv", CORRECTIONS)
    return tmp_path


def _run(monkeypatch: pytest.MonkeyPatch, results: Path, *arguments: str) -> int:
    command = ["producer", "groups", "trip", "--results", str(results), "--people", str(results / "people.csv")]
    monkeypatch.setattr(sys, "argv", [*command, *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(str(ended.value.code))


def test_groups_as_csv_have_names(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named faces are confirmed, others of their group suggested. A refused face stays out, and is not suggested again;
    a hidden one is not listed, and what is not in the job is counted.
    """
    assert _run(monkeypatch, results, "--csv") == 0
    said = capsys.readouterr()
    rows = {row["path"]: row for row in csv.DictReader(io.StringIO(said.out))}
    assert list(rows) == [path for path in rows if path != "cy/3.jpg"] and len(rows) == 11
    shown = {path: (row["person"], row["status"], row["perhaps"]) for path, row in rows.items()}
    assert shown["ann/0.jpg"] == ("Ann", "confirmed", "")
    # These are nearer to the refused face, and nobody has refused them.
    assert shown["ann/1.jpg"] == shown["ann/2.jpg"] == ("", "", "Ann")
    assert shown["ann/3.jpg"] == ("", "", "") and rows["ann/3.jpg"]["faces"] == "3"
    embeddings = people(3, 4)
    distance = float(np.linalg.norm(embeddings[0] - embeddings[1]))
    assert float(rows["ann/1.jpg"]["distance"]) == pytest.approx(distance, abs=1e-4)
    assert shown["bob/0.jpg"] == shown["bob/1.jpg"] == ("Bob [1]", "confirmed", "")
    assert shown["bob/2.jpg"] == shown["bob/3.jpg"] == ("Bob [1]", "suggested", "")
    assert shown["cy/0.jpg"] == ("", "", "")
    assert "1 face hidden." in said.err
    assert (
        "1 of 6 corrections names faces that are not in this job" in said.err
        and "people.csv, line 7: gone.jpg (at 10,10 to 50,60)." in said.err
    )


def test_groups_as_a_table_have_names(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table says how many of a person's faces are suggestions; names are no markup."""
    assert _run(monkeypatch, results) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "group person faces suggested images"
    assert lines[1:5] == [
        "1 Bob [1] 4 2 bob/0.jpg, bob/1.jpg, bob/2.jpg, bob/3.jpg",
        "2 3 ann/1.jpg, ann/2.jpg, ann/3.jpg",
        "3 3 cy/0.jpg, cy/1.jpg, cy/2.jpg",
        "4 Ann 1 0 ann/0.jpg",
    ]
    assert lines[5] == "3 groups of two or more faces, 1 face alone, 2 people with a name, at a distance of 0.95."


def test_neighbors_have_names(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of those that somebody has named."""
    arguments = ("neighbors", "trip", "bob/3.jpg", "-k", "3", "--csv", "--results", str(results))
    monkeypatch.setattr(sys, "argv", ["producer", *arguments, "--people", str(results / "people.csv")])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr()
    names = {row["neighbor_path"]: row["person"] for row in csv.DictReader(io.StringIO(said.out))}
    assert names == {"bob/0.jpg": "Bob [1]", "bob/1.jpg": "Bob [1]", "bob/2.jpg": ""}
    assert "1 of 6 corrections names faces that are not in this job" in said.err


@pytest.mark.parametrize(
    ("corrections", "message"),
    [
        (
            [
                Correction(Kind.SAME, _face("ann/0.jpg"), "", _face("ann/1.jpg")),
                Correction(Kind.SAME, _face("ann/1.jpg"), "", _face("ann/2.jpg")),
                _different("ann/0.jpg", "ann/2.jpg"),
            ],
            "Corrections exclude each other: people.csv, line 2: ann/0.jpg (at 10,10 to 50,60) is the same person as "
            "ann/1.jpg (at 10,10 to 50,60); people.csv, line 3: ann/1.jpg (at 10,10 to 50,60) is the same person as "
            "ann/2.jpg (at 10,10 to 50,60); people.csv, line 4: ann/0.jpg (at 10,10 to 50,60) is not the person of "
            "ann/2.jpg (at 10,10 to 50,60). Change or remove one of them.",
        ),
        ([_person("ann/0.jpg", "Ann"), _person("ann/0.jpg", "Bob")], "is Ann; people.csv, line 3: ann/0.jpg"),
    ],
)
def test_corrections_that_exclude_each_other_are_one_line(
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    corrections: list[Correction],
    message: str,
) -> None:
    """With the faces and their lines; the exit code is 2."""
    write_people(results / "people.csv", corrections)
    assert _run(monkeypatch, results) == 2
    said = capsys.readouterr()
    assert message in said.err and said.err.count("\n") == 1 and not said.out


def test_a_file_that_cannot_be_read_is_one_line(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 2."""
    (results / "people.csv").write_text("kind,image\nfriend,a.jpg\n")
    assert _run(monkeypatch, results) == 2
    assert "people.csv line 2: the kind is `friend`" in capsys.readouterr().err


def _grouped(results: Path, corrections: list[Correction], limits: QualityLimits = DEFAULT_LIMITS) -> PeopleGroups:
    embeddings, left_out = people(3, 4), find_left_out(results / "trip", 12, limits)
    return group_people(results / "trip", corrections, embeddings, near_neighbors(embeddings, 11), THRESHOLD, left_out)


def test_hidden_faces_take_no_numbers(results: Path) -> None:
    """Groups are numbered by the faces that are shown, those with names before others of their size."""
    hide = [Correction(Kind.HIDDEN, _face(path)) for path in ("ann/0.jpg", "bob/0.jpg", "bob/1.jpg", "bob/2.jpg")]
    found = _grouped(results, [*hide, _person("cy/1.jpg", "Cy"), _person("bob/3.jpg", "Bob")])
    assert found.numbers.tolist() == [0, 2, 2, 2, 0, 0, 0, 3, 1, 1, 1, 1]
    assert (found.hidden, found.listed, found.names) == (4, 3, ["Bob", "Cy"])
    assert [faces.tolist() for faces in found.members()] == [[8, 9, 10, 11], [1, 2, 3], [7]]
    assert (found.person_of(8), found.status_of(8), found.status_of(9)) == ("Cy", "suggested", "confirmed")
    # The medoid is one of the faces that are shown.
    assert all((found.distances[faces] == 0).any() for faces in found.members())
    without = _grouped(results, [_person("cy/1.jpg", "Cy")])
    assert [faces.tolist() for faces in without.members()] == [[8, 9, 10, 11], [0, 1, 2, 3], [4, 5, 6, 7]]


def test_nobody_is_suggested_who_was_refused(results: Path) -> None:
    """The nearest named person within the distance, by hand over all pairs, but for those that were refused."""
    said = [
        *(_person(f"{name}/0.jpg", name.title()) for name in ("ann", "bob")),
        *(_different(f"ann/{k}.jpg", "ann/0.jpg") for k in (1, 2)),
        _different("bob/1.jpg", "bob/0.jpg"),
    ]
    embeddings, neighbors = people(3, 4), near_neighbors(people(3, 4), 11)
    found = _grouped(results, said)
    person, distances = nearest_people(neighbors, found, 1.5)
    among = np.linalg.norm(embeddings[:, None].astype(np.float64) - embeddings, axis=2)
    refused = {("Ann", "ann/1.jpg"), ("Ann", "ann/2.jpg"), ("Bob", "bob/1.jpg")}
    for face in range(12):
        if found.person[face] != NOBODY:
            assert (person[face], distances[face]) == (NOBODY, np.inf)
            continue
        allowed = [
            (among[face, other], found.person_of(other))
            for other in range(12)
            if found.person[other] != NOBODY
            and among[face, other] <= 1.5
            and (found.person_of(other), PATHS[face]) not in refused
        ]
        distance, name = min(allowed, default=(np.inf, ""))
        assert distances[face] == pytest.approx(distance)
        assert name == ("" if person[face] == NOBODY else found.names[person[face]])
    assert (nearest_people(None, found, 1.5)[0] == NOBODY).all()


def test_a_face_that_somebody_has_named_or_joined_is_not_left_out(results: Path) -> None:
    """Whatever its quality; the others below the limit are alone, and come last on a page."""
    said = [_person("ann/1.jpg", "Ann"), Correction(Kind.SAME, _face("bob/0.jpg"), "", _face("bob/1.jpg"))]
    found = _grouped(results, said, QualityLimits(sharpness=2))
    members = {tuple(faces.tolist()) for faces in found.members()}
    assert members == {(8, 9, 10, 11), (0, 1, 3), (2,), (4, 5, 6), (7,)}
    assert np.flatnonzero(found.left_out.faces).tolist() == [2, 7]
    order = order_people(found)
    assert order.left_out == 2 and order.rows[-2:].tolist() == [2, 7]
    hidden = _grouped(results, [*said, Correction(Kind.HIDDEN, _face("ann/2.jpg"))], QualityLimits(sharpness=2))
    assert hidden.left_out.count == order_people(hidden).left_out == 1
