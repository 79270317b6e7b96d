"""Tables read in any order."""

import csv
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from shared.results.row_table import RowTable

PATHS = ["a.jpg", "b/a.jpg", 'say "hi", all.jpg', "c/ä.jpg", "ba.jpg"]


@pytest.fixture
def table(tmp_path: Path) -> Iterator[RowTable]:
    """Faces in images with commas, quotes and other letters in their names; the fourth image has two."""
    with (tmp_path / "faces.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("face", "path", "probability"))
        writer.writerows([k, path, "0.5"] for k, path in enumerate([*PATHS[:4], *PATHS[3:]]))
    with ExitStack() as stack:
        yield RowTable(tmp_path / "faces.csv", stack)


def test_rows_are_read_and_found(table: RowTable) -> None:
    """A path is found whole, by its end or by a part, however the table quotes it."""
    assert len(table) == 6 and table[2] == {"face": "2", "path": PATHS[2], "probability": "0.5"}
    assert [table.rows_with("path", path) for path in PATHS] == [[0], [1], [2], [3, 4], [5]]
    assert table.rows_ending("path", "/a.jpg") == [1] and table.rows_ending("path", ' "hi", all.jpg') == [2]
    assert table.rows_ending("path", "a.jpg") == [0, 1, 5] and table.rows_ending("path", "/ä.jpg") == [3, 4]
    assert table.rows_containing("path", "a.j", 2) == [0, 1]
    assert table.rows_with("path", "probability") == table.rows_with("path", "0.5") == []


def test_damaged_rows_are_errors(tmp_path: Path) -> None:
    """A row of another length is an error when it is read; the others are read, also one without a line's end."""
    (tmp_path / "a.csv").write_text("x,path,y\n1,a,2\n1,a\n3,b,4")
    (tmp_path / "empty.csv").touch()
    with ExitStack() as stack:
        table = RowTable(tmp_path / "a.csv", stack)
        assert len(table) == 3 and table[2]["y"] == "4"
        with pytest.raises(ValueError, match=r"row 1 of a\.csv has 2 fields instead of 3"):
            table[1]
        with pytest.raises(LookupError):
            table[3]
        with pytest.raises(ValueError, match="empty"):
            RowTable(tmp_path / "empty.csv", stack)
