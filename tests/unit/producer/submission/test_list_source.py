"""A list of paths as the source of a job: which paths it has, relative to what, and which list is the same."""

import os
import tracemalloc
from pathlib import Path

import pytest

from producer.submission.list_source import ListSource, PathsOutside
from producer.submission.sources import open_source
from shared.domain.errors import InvalidRequest
from shared.domain.paths import FolderPath
from tests.support.archives import archive_bytes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder, and a link to it."""
    folder = tmp_path / "images"
    (folder / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("images")
    return folder


def _source(folder: Path, *lines: str) -> ListSource:
    path = folder.parent / "list.txt"
    path.write_bytes(b"".join(os.fsencode(line) + b"\n" for line in lines))
    return ListSource.of(folder, str(path))


def _found(source: ListSource, after: str | None = None) -> list[str]:
    return [found.path for found in source.find(None if after is None else FolderPath(after))]


def test_paths_are_relative_to_the_folder_and_keep_the_lists_order(folder: Path) -> None:
    """Also absolute ones, under the folder's real name or the one that was given; nothing needs to be there."""
    lines = [
        "z.jpg",
        "./b//a.jpg",
        "b/../y\udcff.jpg",
        str(folder / "x.jpg"),
        str(folder.parent / "link" / "w.jpg"),
        "b/",
    ]
    source = _source(folder.parent / "link", *lines)
    assert _found(source) == ["z.jpg", "b/a.jpg", "y\udcff.jpg", "x.jpg", "w.jpg", "b"]
    assert source.folder == folder


def test_without_a_folder_it_is_the_current_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for `tar -T`."""
    (folder.parent / "list.txt").write_text("../images/a.jpg\nb/c.jpg\n")
    monkeypatch.chdir(folder)
    source = open_source(None, "../list.txt")
    assert [found.path for found in source.find()] == ["a.jpg", "b/c.jpg"]
    with pytest.raises(InvalidRequest, match="Give the folder with the images, or a list"):
        open_source(None, None)


@pytest.mark.parametrize("path", ["/etc/passwd", "../images-2/a.jpg", "b/../../a.jpg"])
def test_a_path_outside_the_folder_is_refused(folder: Path, path: str) -> None:
    """The first one is named with its line, and the others are counted."""
    with pytest.raises(PathsOutside) as raised:
        _source(folder, "a.jpg", path, "c.jpg", "/usr")
    assert f"{path} (line 2) and 1 others are not in the folder {folder}" in str(raised.value)


def test_an_empty_list_is_refused(folder: Path) -> None:
    """It is probably a mistake, as an empty folder is."""
    with pytest.raises(InvalidRequest, match="has no paths"):
        _source(folder, "", "")


def test_a_path_that_occurs_again_is_left_out(folder: Path) -> None:
    """However it is written."""
    assert _found(_source(folder, "a.jpg", "b/c.jpg", "./a.jpg", "d.jpg", "b/c.jpg", "a.jpg")) == [
        "a.jpg",
        "b/c.jpg",
        "d.jpg",
    ]


def test_the_list_goes_on_after_any_path(folder: Path) -> None:
    """Repeated paths included; a path that is not in it is an error, not an empty rest."""
    source = _source(folder, "c.jpg", "a.jpg", "c.jpg", "b.jpg", "a.jpg")
    whole = _found(source)
    for k, path in enumerate(whole):
        assert _found(source, path) == whole[k + 1 :]
    with pytest.raises(InvalidRequest, match=r"does not contain other\.jpg"):
        _found(source, "other.jpg")


def test_the_list_goes_on_inside_archives_and_among_their_members(folder: Path) -> None:
    """After any image, whether the list names an archive or members of one. A missing archive is an image itself."""
    members = {f"{k}.jpg": b"x" for k in range(3)}
    (folder / "a.zip").write_bytes(archive_bytes(".zip", members))
    (folder / "b.tar").write_bytes(archive_bytes(".tar", members)[:1200])
    lines = ["z.jpg", "a.zip", "gone.tar", "b.tar", "c.tar/2.jpg", "c.tar/1.jpg", "y.jpg"]
    (folder.parent / "list.txt").write_text("\n".join(lines))
    source = open_source(folder, str(folder.parent / "list.txt"), archives=True)
    whole = [found.path for found in source.find()]
    a, b = [f"a.zip/{name}" for name in members], ["b.tar/0.jpg", "b.tar"]
    assert whole == ["z.jpg", *a, "gone.tar", *b, "c.tar/2.jpg", "c.tar/1.jpg", "y.jpg"]
    for k, path in enumerate(whole):
        assert [found.path for found in source.find(path)] == whole[k + 1 :], path


def test_the_list_is_kept_as_it_was(folder: Path) -> None:
    """A list that changes after the command has started changes nothing."""
    source = _source(folder, "a.jpg", "b.jpg")
    digest = source.listing.digest
    assert _source(folder, "a.jpg", "c.jpg").listing.digest != digest
    assert _found(source) == ["a.jpg", "b.jpg"]
    assert _source(folder, "./a.jpg", "b.jpg").listing.digest == digest


def test_the_status_of_files_comes_with_them(folder: Path) -> None:
    """Size and time of those that are there."""
    (folder / "a.jpg").write_bytes(b"123")
    found = list(_source(folder, "a.jpg", "gone.jpg").find(status=True))
    assert [(f.size, f.mtime_ns) for f in found] == [(3, (folder / "a.jpg").stat().st_mtime_ns), (None, None)]


def test_memory_does_not_grow_with_the_list(folder: Path) -> None:
    """8 bytes a path decide about repeated ones, and nothing else is kept."""
    count = 100_000
    path = folder.parent / "long.txt"
    path.write_text("".join(f"some/folder/of/photographs/image-{k:07}.jpg\n" for k in range(count)))
    tracemalloc.start()
    try:
        source = ListSource.of(folder, str(path))
        assert sum(1 for _ in source.find()) == count
        assert tracemalloc.get_traced_memory()[1] < 3 * 2**20
    finally:
        tracemalloc.stop()
