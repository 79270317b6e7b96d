"""Lists of paths of every kind, read as `find`, SQL and notebooks write them."""

import io
import os
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from producer.submission.path_lists import read_paths
from shared.domain.errors import InvalidRequest


def _paths(path: Path) -> list[str]:
    return [os.fsdecode(raw) for _, raw in read_paths(str(path))]


def test_text_has_one_path_a_line(tmp_path: Path) -> None:
    """Blanks, `#`, bytes that are not UTF-8 and Windows' line ends keep no path from being read. Empty lines are left
    out, and the line numbers count them.
    """
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbfa b.jpg\r\n\n#1.jpg\n \xff.jpg \nlast.jpg")
    assert list(read_paths(str(path))) == [
        (1, b"a b.jpg"),
        (3, b"#1.jpg"),
        (4, b" \xff.jpg "),
        (5, b"last.jpg"),
    ]


@pytest.mark.parametrize("end", [b"\0", b""])
def test_text_with_nul_is_separated_by_it(tmp_path: Path, end: bytes) -> None:
    """As `find -print0` writes it. Line ends are part of the names then."""
    path = tmp_path / "list"
    path.write_bytes(b"a\nb.jpg\0c\r\n\0\0d.jpg" + end)
    assert _paths(path) == ["a\nb.jpg", "c\r\n", "d.jpg"]


@pytest.mark.parametrize("separator", ["\n", "\0"])
def test_long_lists_are_read_in_pieces(tmp_path: Path, separator: str) -> None:
    """Paths on the border of two pieces stay whole."""
    names = [f"{k:05}-{'x' * (k % 97)}.jpg" for k in range(9_000)]
    path = tmp_path / "list.txt"
    path.write_text(separator.join(names) + separator)
    assert _paths(path) == names


def test_standard_input_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read through `-`."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a.jpg\nb.jpg\n")))
    assert [raw for _, raw in read_paths("-")] == [b"a.jpg", b"b.jpg"]


def test_csv_and_parquet_have_a_column(tmp_path: Path) -> None:
    """The column may be anywhere. Cells without a value are left out."""
    (tmp_path / "a.csv").write_text('\ufeffid,path\n1,a.jpg\n2,"b,""c"".jpg"\n3,\n4\n5,d\u00e9.jpg\n')
    assert _paths(tmp_path / "a.csv") == ["a.jpg", 'b,"c".jpg', "d\u00e9.jpg"]
    table = pa.table({"id": [1, 2, 3], "path": ["a.jpg", None, "d\u00e9.jpg"]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert _paths(tmp_path / "a.parquet") == ["a.jpg", "d\u00e9.jpg"]
    parquet.write_table(table.set_column(1, "path", table["path"].dictionary_encode()), tmp_path / "b.parquet")
    assert _paths(tmp_path / "b.parquet") == ["a.jpg", "d\u00e9.jpg"]


def test_a_list_that_cannot_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the list and what is the matter."""
    (tmp_path / "no.csv").write_text("file,name\na,b\n")
    (tmp_path / "bad.csv").write_bytes(b'path\n"' + b"x" * 200_000)
    (tmp_path / "bad.parquet").write_text("no parquet")
    parquet.write_table(pa.table({"file": ["a"]}), tmp_path / "no.parquet")
    parquet.write_table(pa.table({"path": [7]}), tmp_path / "number.parquet")
    (tmp_path / "nul.txt").write_bytes(b"a.jpg\n" * 20_000 + b"a\0b\n")
    (tmp_path / "endless").write_bytes(b"x" * 3_000_000)
    for name, reason in (
        ("gone.txt", "No such file"),
        ("no.csv", "no column `path`. Its columns: file, name"),
        ("bad.csv", "line 1 is not CSV"),
        ("bad.parquet", "is not a Parquet file"),
        ("no.parquet", "no column `path`. Its columns: file"),
        ("number.parquet", "row 1 of the column `path` is int"),
        ("nul.txt", "line 20001 contains a NUL byte"),
        ("endless", "entry 1 is longer than a path can be"),
    ):
        with pytest.raises(InvalidRequest) as raised:
            _paths(tmp_path / name)
        assert reason in str(raised.value) and "\n" not in str(raised.value), name
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidRequest, match=r"needs pyarrow: `pip install facequeue\[parquet\]`"):
        _paths(tmp_path / "no.parquet")
