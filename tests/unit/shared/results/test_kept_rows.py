"""The blocks of known images, and the file of thumbnails: both may come from somebody else."""

import json
from pathlib import Path

import pytest

from shared.results.kept_rows import KeptRow, pack_kept, unpack_kept
from shared.results.thumbnail_file import ThumbnailWriter, thumbnails_in

_JPEG = b"\xff\xd8\xffpicture"


def test_known_images_survive_the_server() -> None:
    """Names that are not UTF-8 too. A block of computed images is told apart."""
    rows = [KeptRow("a.jpg", 3, 10, 1_600_000_000_000_000_000), KeptRow("\udcff\n.jpg", 0, 0, 0)]
    assert unpack_kept(pack_kept(rows)) == rows
    assert unpack_kept(b"\x88computed") is None


@pytest.mark.parametrize(
    "value", [{}, 3, [3], [["../a", 0, 0, 0]], [["a", -1, 0, 0]], [["a", 0, True, 0]], [["a", 0, 0]], [[3, 0, 0, 0]]]
)
def test_damaged_blocks_are_refused(value: object) -> None:
    """Paths lead nowhere else, and rows are numbers."""
    with pytest.raises(ValueError, match=r"."):
        unpack_kept(b"kept1 " + json.dumps(value).encode())


def test_thumbnails_are_found_by_face(tmp_path: Path) -> None:
    """Faces without one are left out, at both ends too. Without any there is no file."""
    path = tmp_path / "thumbnails.bin"
    with ThumbnailWriter(path, 5) as writer:
        writer.add(1, _JPEG)
        writer.add(3, _JPEG + b"3")
    found = thumbnails_in(path)
    assert dict(found) == {1: _JPEG, 3: _JPEG + b"3"} and len(found) == 2
    with ThumbnailWriter(tmp_path / "none", 5):
        pass
    assert not (tmp_path / "none").exists() and dict(thumbnails_in(tmp_path / "none")) == {}


@pytest.mark.parametrize("cut", [0, 10, 20, 30, 60])
def test_a_damaged_file_has_no_thumbnails_or_those_that_are_whole(tmp_path: Path, cut: int) -> None:
    """Cut short, of another kind, with an index that is too long, or with something else than JPEGs."""
    path = tmp_path / "thumbnails.bin"
    with ThumbnailWriter(path, 3) as writer:
        writer.add(0, _JPEG)
        writer.add(1, b"<script>")
        writer.add(2, _JPEG)
    assert list(map(thumbnails_in(path).get, range(3))) == [_JPEG, None, _JPEG]
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    assert [jpeg for jpeg in map(thumbnails_in(path).get, range(3)) if jpeg] in ([], [_JPEG])
    path.write_bytes(whole[:16] + (2**63).to_bytes(8, "little") + whole[24:])
    assert dict(thumbnails_in(path)) == {}
