"""`people.csv` is read as it was written, and whatever else it contains is one line that says what to do."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.domain.paths import ShownPath, printable
from shared.results import people_file
from shared.results.corrections import Correction, FaceReference, Kind, person_name
from shared.results.people_file import PEOPLE_COLUMNS, PeopleFileUnreadable, read_people, write_people

HEAD = ",".join(PEOPLE_COLUMNS)
DIGEST = "0123456789abcdef" * 2


def _is_name(text: str) -> bool:
    try:
        return person_name(text) == text
    except ValueError:
        return False


_text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
_sides = st.integers(-800, 80_000).map(lambda eighths: eighths / 8)
_faces = st.builds(
    FaceReference,
    image=_text.map(lambda text: ShownPath(printable(text))),
    box=st.none() | st.builds(lambda left, top: (left, top, left + 40, top + 50), _sides, _sides),
    digest=st.sampled_from(["", DIGEST]),
    number=st.none() | st.integers(0, 10**9),
)
_corrections = st.one_of(
    st.builds(Correction, st.just(Kind.PERSON), _faces, _text.filter(_is_name)),
    st.builds(Correction, st.just(Kind.HIDDEN), _faces),
    st.builds(Correction, st.sampled_from([Kind.SAME, Kind.DIFFERENT]), _faces, st.just(""), _faces),
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=st.lists(_corrections, max_size=5))
def test_what_was_written_is_read(tmp_path: Path, written: list[Correction]) -> None:
    """Names and images may be any text: quotes, commas, other alphabets."""
    path = tmp_path / "people.csv"
    write_people(path, written)
    read = read_people(path)
    assert [Correction(said.kind, said.face, said.person, said.other) for said in read] == written


def test_columns_are_found_by_name_and_line_ends_may_be_those_of_windows(tmp_path: Path) -> None:
    """Columns may be in any order, others are ignored, and so are a byte order mark, empty lines and blanks."""
    path = tmp_path / "people.csv"
    lines = ["image,note,person,kind", "a.jpg,x, Zoe\u0308 ,person", "", '"b, c.jpg",,,hidden', ",,,"]
    path.write_bytes("\ufeff".encode() + "\r\n".join(lines).encode())
    first, second = read_people(path)
    assert (first.kind, first.face, first.person, first.origin) == (
        Kind.PERSON,
        FaceReference(ShownPath("a.jpg")),
        "Zo\u00eb",
        "people.csv, line 2",
    )
    assert (second.face.image, second.origin) == ("b, c.jpg", "people.csv, line 4")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no column `kind`"),
        ("kind,person\n", "has no column `image`"),
        ("kind,image,image\n", "has the column `image` twice"),
        ("kind,image\nhidden,a.jpg,b\n", "line 2: 3 fields, and the first line has 2"),
        ("kind,image\nhidden,a.jpg\nfriend,a.jpg\n", "line 3: the kind is `friend`"),
        ("kind,image\nhidden,\n", "line 2: `image` is empty"),
        ("kind,image\nperson,a.jpg\n", "line 2: the name is empty"),
        ('kind,image,person\nperson,a.jpg,"Ann\nBob"\n', "line 3: the name has line ends or control characters"),
        ("kind,image,person\nperson,a.jpg,\x1b[2J\n", "line 2: the name has line ends or control characters"),
        (f"kind,image,person\nperson,a.jpg,{'x' * 201}\n", "line 2: the name has 201 characters"),
        ("kind,image,person\nhidden,a.jpg,Ann\n", "line 2: it names a person, and the kind is `hidden`"),
        ("kind,image\nsame,a.jpg\n", "line 2: `other_image` is empty"),
        ("kind,image,other_image\nhidden,a.jpg,b.jpg\n", "line 2: it has a second face"),
        ("kind,image,face\nhidden,a.jpg,-1\n", "line 2: `face` is `-1`, and not a number"),
        ("kind,image,blake2b\nhidden,a.jpg,xyz\n", "line 2: `blake2b` is not 32 hexadecimal digits"),
        ("kind,image,left,top,right,bottom\nhidden,a.jpg,1,2,3,\n", "are to be four numbers"),
        ("kind,image,left,top,right,bottom\nhidden,a.jpg,1,2,1,5\n", "line 2: the box 1,2,1,5 has no area"),
        (
            "kind,image,left,top,right,bottom\nhidden,a.jpg,1,2,nan,5\n",
            "line 2: the box 1,2,nan,5 cannot be in an image",
        ),
        (
            "kind,image,left,top,right,bottom\nhidden,a.jpg,1,2,1e308,5\n",
            "line 2: the box 1,2,1e+308,5 cannot be in an image",
        ),
        ('kind,image\nhidden,"a.jpg"x\n', "line 2: no CSV"),
        (f"kind,image\nhidden,{'a' * 200_000}\n", "line 2: no CSV"),
        (b"kind,image\nhidden,\xff.jpg\n", "is no UTF-8 text"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, content: str | bytes, message: str) -> None:
    """The message names the file, the line and what to do."""
    path = tmp_path / "people.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(PeopleFileUnreadable) as raised:
        read_people(path)
    said = str(raised.value)
    assert said.startswith(str(path)) and message in said and "\n" not in said and "\x1b" not in said
    assert said.rstrip(".").split(". ")[-1].split()[0] in {"Correct", "Remove", "Save", "It"}


def test_files_that_cannot_be_read_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is there, a folder, and one that is too large or has too many rows."""
    path = tmp_path / "people.csv"
    with pytest.raises(PeopleFileUnreadable, match=r"people.csv cannot be read: No such file"):
        read_people(path)
    with pytest.raises(PeopleFileUnreadable, match="is no file"):
        read_people(tmp_path)
    path.write_text("kind,image\n" + "hidden,a.jpg\n" * 3)
    monkeypatch.setattr(people_file, "MOST_ROWS", 2)
    with pytest.raises(PeopleFileUnreadable, match="more than 2 rows"):
        read_people(path)
    monkeypatch.setattr(people_file, "MOST_BYTES", 10)
    with pytest.raises(PeopleFileUnreadable, match="50 bytes, and 10 are allowed"):
        read_people(path)
