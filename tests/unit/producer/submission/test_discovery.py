"""The folder walk is stable and streams, skips hidden files and loses nothing."""

import os
from pathlib import Path

import pytest

from producer.submission.discovery import find_images, order_key
from producer.submission.folder_source import FolderSource
from shared.domain.errors import LinkedFolder, OutsideDataRoot
from shared.domain.paths import printable, resolve_inside
from tests.support.archives import archive_bytes
from tests.support.deep_folders import nest


def _make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x")


def test_files_come_before_subdirectories_and_both_are_sorted(tmp_path: Path) -> None:
    """The order is that of the bytes, whatever order the file system has."""
    _make(tmp_path, "b.jpg", "a/z.jpg", "a/b/c.jpg", "a-b/q.jpg", "Z.jpg", "é.jpg")
    found = list(find_images(tmp_path))
    assert found == ["Z.jpg", "b.jpg", "é.jpg", "a/z.jpg", "a/b/c.jpg", "a-b/q.jpg"]
    assert sorted(found, key=order_key) == found


def test_hidden_and_special_files_are_left_out(tmp_path: Path) -> None:
    """Hidden files and folders, pipes, and links to them are skipped. A link to a file counts."""
    _make(tmp_path, "a.jpg", ".hidden.jpg", ".cache/b.jpg", "d/c.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    (tmp_path / "link-to-pipe.jpg").symlink_to(tmp_path / "pipe.jpg")
    assert list(find_images(tmp_path)) == ["a.jpg", "link.jpg", "d/c.jpg"]


def test_a_link_to_a_folder_stands_for_its_files_once(tmp_path: Path) -> None:
    """Wherever it leads, even in a cycle, it is listed but not followed, and the walk continues."""
    _make(tmp_path, "outside/o.jpg", "root/a.jpg", "root/b/in.jpg", "root/d/in.jpg")
    root = tmp_path / "root"
    (root / "c").symlink_to(tmp_path / "outside")
    (root / "b" / "circle").symlink_to(root)
    (root / "b" / "inside").symlink_to(root / "d")
    (root / ".hidden").symlink_to(root / "d")
    expected = ["a.jpg", "b/in.jpg", "b/circle/", "b/inside/", "c/", "d/in.jpg"]
    assert list(find_images(root)) == expected
    assert sorted(expected, key=order_key) == expected
    for k, path in enumerate(expected):
        assert list(find_images(root, after=path)) == expected[k + 1 :]
    for path in ("b/circle/", "b/inside/", "c/"):
        with pytest.raises(LinkedFolder, match="a link to a folder"):
            resolve_inside(root, path)


def test_folders_are_nested_as_deep_as_they_like(deep: Path) -> None:
    """1,200 levels work, which is more than Python's recursion limit, also when starting in the middle."""
    nest(deep, "d", 1200)
    _make(deep, "e/x.jpg")
    expected = ["d/" * 1200 + "in.jpg", "e/x.jpg"]
    assert list(find_images(deep)) == expected
    assert list(find_images(deep, after="d/" * 600 + "b.jpg")) == expected
    assert list(find_images(deep, after=expected[0])) == expected[1:]


def test_a_path_longer_than_the_system_takes_is_listed(deep: Path) -> None:
    """The folder with the too long path stands for its contents. Its neighbors are found."""
    nest(deep, "n" * 200, 30)
    _make(deep, "z/x.jpg")
    folder, neighbor = find_images(deep)
    assert neighbor == "z/x.jpg"
    assert folder.endswith("/") and len(str(deep)) + len(folder) > 4000
    with pytest.raises(OSError, match="too long"):
        resolve_inside(deep, folder).stat()


def test_the_walk_goes_on_behind_any_path(tmp_path: Path) -> None:
    """From every point, exactly the remaining files follow."""
    _make(tmp_path, "a.jpg", "b/a.jpg", "b/c/d.jpg", "b/e.jpg", "bb/a.jpg", "c/x.jpg")
    everything = list(find_images(tmp_path))
    for k, path in enumerate(everything):
        assert list(find_images(tmp_path, after=path)) == everything[k + 1 :]


def test_the_walk_goes_on_behind_a_path_that_is_gone(tmp_path: Path) -> None:
    """The last recorded file may have been removed meanwhile."""
    _make(tmp_path, "a.jpg", "b/a.jpg", "c/x.jpg")
    assert list(find_images(tmp_path, after="b/zzz.jpg")) == ["c/x.jpg"]
    assert list(find_images(tmp_path, after="aa/q.jpg")) == ["b/a.jpg", "c/x.jpg"]


def test_a_name_that_is_not_utf8_is_escaped_and_not_lost(tmp_path: Path) -> None:
    """The file can be opened by the returned path, and the path can be printed."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).write_text("x")
    (found,) = find_images(tmp_path)
    assert (tmp_path / found).read_text() == "x"
    assert printable(found) == "\\xff.jpg"


def test_what_cannot_be_opened_is_listed_all_the_same(tmp_path: Path) -> None:
    """Link cycles and dead links are listed. A folder that cannot be read stands once for its files."""
    _make(tmp_path, "a.jpg", "locked/in.jpg", "z/in.jpg")
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    (tmp_path / "nothing.jpg").symlink_to("gone.jpg")
    expected = ["a.jpg", "circle.jpg", "nothing.jpg", "locked/", "z/in.jpg"]
    real, refused = os.scandir, tmp_path / "locked"

    def scandir(folder: Path) -> object:
        if Path(folder) == refused:  # root may list every folder, so that permissions would not do
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        found = list(find_images(tmp_path))
        assert found == expected
        for k, path in enumerate(found):
            assert list(find_images(tmp_path, after=path)) == expected[k + 1 :]
    assert list(find_images(tmp_path, after="locked/")) == ["locked/in.jpg", "z/in.jpg"]
    with pytest.raises(OSError, match="symbolic links"):
        resolve_inside(tmp_path, "circle.jpg")


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\rb", "a\\rb"), ("\x1b[2J", "\\x1b[2J"), ("\x85", "\\x85"), ("\u2028", "\\u2028"), ("é b", "é b")],
)
def test_control_characters_are_escaped(name: str, shown: str) -> None:
    """They would break tables and control terminals."""
    assert printable(name) == shown


@pytest.mark.parametrize("path", ["../outside.jpg", "link.jpg", "folder/up.jpg"])
def test_nothing_outside_the_data_root_is_opened(tmp_path: Path, path: str) -> None:
    """Neither dots nor symbolic links lead out."""
    root = tmp_path / "root"
    _make(tmp_path, "outside.jpg", "root/in.jpg")
    (root / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    (root / "folder").symlink_to(tmp_path)
    assert resolve_inside(root, "in.jpg") == (root / "in.jpg").resolve()
    with pytest.raises(OutsideDataRoot):
        resolve_inside(root, path if path != "folder/up.jpg" else "folder/outside.jpg")


def test_the_walk_goes_on_inside_archives(tmp_path: Path) -> None:
    """After any image: a member, an archive that cannot be read to its end, or a file of its own."""
    members = {"2.jpg": b"x" * 600, "1.jpg": b"x", "d/0.jpg": b"x"}
    (tmp_path / "below" / "folder.tar").mkdir(parents=True)
    (tmp_path / "below" / "folder.tar" / "c.tgz").write_bytes(archive_bytes(".tar.gz", members))
    (tmp_path / "a.tar").write_bytes(archive_bytes(".tar", members)[:2600])
    (tmp_path / "b.jpg").touch()
    (tmp_path / "below" / "empty.zip").write_bytes(archive_bytes(".zip", {}))
    (tmp_path / "below" / "none.zip").write_text("none")
    source = FolderSource(tmp_path, archives=True)
    whole = [found.path for found in source.find()]
    c = "below/folder.tar/c.tgz"
    assert whole == [
        *("a.tar/2.jpg", "a.tar/1.jpg", "a.tar", "b.jpg", "below/none.zip"),
        *(f"{c}/2.jpg", f"{c}/1.jpg", f"{c}/d/0.jpg"),
    ]
    for k, path in enumerate(whole):
        assert [found.path for found in source.find(path)] == whole[k + 1 :], path
    plain = [found.path for found in FolderSource(tmp_path).find()]
    assert plain == ["a.tar", "b.jpg", "below/empty.zip", "below/none.zip", c]
