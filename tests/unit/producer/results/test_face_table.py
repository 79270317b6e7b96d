"""All faces of a job in one table."""

import csv
import io
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from producer.results.face_people import Named
from producer.results.face_table import ADDED_COLUMNS, FaceTable, TableForm, write_table
from shared.domain.errors import InvalidRequest, ResultsError
from shared.results.schema import FACE_COLUMNS
from tests.support.results_folders import make_results, people

PATHS = ["a.jpg", "b,\"'.jpg", "b,\"'.jpg", "c.jpg"]


def _table(tmp_path: Path) -> FaceTable:
    more = [{"image": 3, "path": "d.jpg", "outcome": "no_face", "faces": 0, "width": 5, "height": 5}]
    folder = make_results(tmp_path / "job", PATHS, people(4, 1), more=more, sizes={"c.jpg": (30, 20)})
    named = {1: Named("Åsa", True), 3: Named("Ben", False)}
    return FaceTable(folder, np.array([1, 1, 2, 0]), named)


def _written(table: FaceTable, form: TableForm, tmp_path: Path) -> str:
    write_table(table, form, tmp_path / "written")
    text = (tmp_path / "written").read_text(encoding="utf-8")
    (tmp_path / "written").unlink()
    return text


def test_csv_has_the_columns_of_faces_and_five_more(tmp_path: Path) -> None:
    """Sizes are those of the face's own image; a hidden face has no group."""
    table = _table(tmp_path)
    rows = list(csv.DictReader(io.StringIO(_written(table, TableForm.CSV, tmp_path))))
    assert tuple(rows[0]) == (*FACE_COLUMNS, *ADDED_COLUMNS)
    assert [row["path"] for row in rows] == PATHS
    assert [(row["width"], row["group"]) for row in rows] == [("100", "1"), ("100", "1"), ("100", "2"), ("30", "")]
    assert [(row["person"], row["status"]) for row in rows] == [
        ("", ""), ("Åsa", "confirmed"), ("", ""), ("Ben", "suggested")
    ]  # fmt: skip


def test_json_has_the_same_values_with_types(tmp_path: Path) -> None:
    """An array or lines: numbers are numbers, and what is empty is null."""
    table = _table(tmp_path)
    array = json.loads(_written(table, TableForm.JSON, tmp_path))
    lines = [json.loads(line) for line in _written(table, TableForm.JSON_LINES, tmp_path).splitlines()]
    assert array == lines
    assert [row["face"] for row in array] == [0, 1, 2, 3]
    assert array[3]["group"] is None
    assert array[0]["person"] is None
    assert array[0]["left_eye_x"] is None
    assert (array[1]["x2"], array[1]["group"], array[1]["person"]) == (50.0, 1, "Åsa")
    for text, (shown, row) in zip(
        csv.DictReader(io.StringIO(_written(table, TableForm.CSV, tmp_path))), enumerate(array), strict=True
    ):
        assert int(text["face"]) == shown
        assert {key: value for key, value in text.items() if value} == {
            key: value if isinstance(value, str) else text[key] for key, value in row.items() if value is not None
        }


def test_columns_that_are_not_known_here_are_numbers_or_text(tmp_path: Path) -> None:
    """Later versions have more columns in `faces.csv`; no value makes the JSON invalid."""
    table = _table(tmp_path)
    faces = table.folder / "faces.csv"
    head, *lines = faces.read_text().splitlines()
    values = ("0.5", "soft", "nan", "")
    faces.write_text(
        "\n".join([f"{head},later_column", *(f"{line},{value}" for line, value in zip(lines, values, strict=True))])
        + "\n"
    )
    found = json.loads(_written(table, TableForm.JSON, tmp_path), parse_constant=lambda value: pytest.fail(value))
    assert [row["later_column"] for row in found] == [0.5, "soft", None, None]


@pytest.mark.parametrize("form", TableForm)
def test_a_full_standard_output_is_not_said_to_be_the_results(
    form: TableForm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is that of the system: the command line names standard output, or ends quietly for a closed pipe."""
    table = _table(tmp_path)
    with Path("/dev/full").open("w", buffering=1) as full:
        monkeypatch.setattr("sys.stdout", full)
        with pytest.raises(OSError, match="No space left"):
            write_table(table, form, None)
        monkeypatch.undo()
        with suppress(OSError):
            full.close()


def test_a_job_without_faces_has_an_empty_table(tmp_path: Path) -> None:
    """All forms are valid."""
    folder = make_results(tmp_path / "job", [], np.empty((0, 128), np.float32))
    table = FaceTable(folder, None, {})
    assert json.loads(_written(table, TableForm.JSON, tmp_path)) == []
    assert _written(table, TableForm.JSON_LINES, tmp_path) == ""
    assert _written(table, TableForm.CSV, tmp_path).count("\n") == 1


def test_nothing_is_replaced_unasked_or_in_part(tmp_path: Path) -> None:
    """Damaged results leave the file as it was, and no scratch file."""
    table, target = _table(tmp_path), tmp_path / "written"
    target.write_text("mine")
    with pytest.raises(InvalidRequest, match="--overwrite"):
        write_table(table, TableForm.CSV, target)
    faces = table.folder / "faces.csv"
    faces.write_text(faces.read_text() + "4,0,short\n")
    with pytest.raises(ResultsError, match=r"faces\.csv"):
        write_table(table, TableForm.CSV, target, overwrite=True)
    assert target.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job", "written"]
    with pytest.raises(ResultsError, match="--to"):
        write_table(table, TableForm.CSV, tmp_path / "nowhere" / "written")
