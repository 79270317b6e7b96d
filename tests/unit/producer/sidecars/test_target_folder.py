"""Sidecars go into their folder alone, and replace nothing unasked."""

from pathlib import Path

import pytest

from producer.sidecars.names import Naming, shared_names, sidecar_name
from producer.sidecars.target_folder import SidecarFolder, Written, check_outside_results, check_target
from shared.domain.errors import InvalidRequest
from shared.domain.paths import FolderPath

NAME = FolderPath("a/b/photo.jpg.xmp")


def _write(root: Path, name: FolderPath, content: bytes, *, overwrite: bool = False) -> Written:
    target = SidecarFolder(root, overwrite=overwrite)
    written = target.write(name, content)
    target.close()
    return written


def test_what_is_there_stays_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    """The same bytes count as done; others stay, and so does a link, which is never followed."""
    assert _write(tmp_path, NAME, b"one") is Written.NEW
    assert _write(tmp_path, NAME, b"one") is Written.SAME
    assert _write(tmp_path, NAME, b"two") is Written.KEPT
    assert (tmp_path / NAME).read_bytes() == b"one"
    assert _write(tmp_path, NAME, b"two", overwrite=True) is Written.NEW
    assert (tmp_path / NAME).read_bytes() == b"two"
    original = tmp_path / "original"
    original.write_bytes(b"mine")
    link = tmp_path / "a" / "b" / "link.xmp"
    link.symlink_to(original)
    name = FolderPath("a/b/link.xmp")
    assert _write(tmp_path, name, b"mine") is Written.KEPT
    assert _write(tmp_path, name, b"new", overwrite=True) is Written.NEW
    assert not link.is_symlink()
    assert original.read_bytes() == b"mine"
    assert sorted(path.name for path in link.parent.iterdir()) == ["link.xmp", "photo.jpg.xmp"]


@pytest.mark.parametrize("name", ["../x.xmp", "a/../../x.xmp", "/tmp/x.xmp"])
def test_no_name_leads_out(tmp_path: Path, name: str) -> None:
    """Names come from results, which may be a stranger's."""
    with pytest.raises(ValueError, match="leads out"):
        _write(tmp_path / "to", FolderPath(name), b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["to"]


def test_no_link_in_the_folder_is_followed(tmp_path: Path) -> None:
    """A link to a folder could lead to the originals; a file in place of a folder is said too."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "a").symlink_to(tmp_path / "photos")
    (tmp_path / "to" / "file").touch()
    with pytest.raises(OSError, match="symbolic link"):
        _write(tmp_path / "to", NAME, b"x")
    with pytest.raises(OSError, match="name of its folder"):
        _write(tmp_path / "to", FolderPath("file/photo.xmp"), b"x")
    assert not list((tmp_path / "photos").iterdir())


def test_odd_names_are_written(tmp_path: Path) -> None:
    """Bytes that are not UTF-8, line ends, quotes and names near the limit of the file system."""
    for name in ("\udcff\udcfe.jpg.xmp", "a\n\"b'\t.xmp", "🙂" * 50 + ".xmp", "x" * 251 + ".xmp"):
        assert _write(tmp_path, FolderPath(name), b"x") is Written.NEW
        assert (tmp_path / name).read_bytes() == b"x"
    with pytest.raises(OSError, match="too long"):
        _write(tmp_path, FolderPath("x" * 252 + ".xmp"), b"x")


def test_originals_and_results_are_no_targets(tmp_path: Path) -> None:
    """Neither the folder of the images, nor one in or around it, nor one in any results folder."""
    photos, results = tmp_path / "home" / "photos", tmp_path / "results" / "job"
    for folder in (photos / "2020", results / "xmp"):
        folder.mkdir(parents=True)
    for name in ("summary.json", "embeddings.npy"):
        (results / name).touch()
    (tmp_path / "link").symlink_to(photos)
    for target in (photos, photos / "2020", photos / "new", tmp_path / "home", tmp_path / "link" / "new"):
        with pytest.raises(InvalidRequest, match="folder of the images"):
            check_target(target, photos)
    for target in (results, results / "xmp", results / "xmp" / "new"):
        with pytest.raises(InvalidRequest, match="results folder"):
            check_target(target, photos)
    check_target(tmp_path / "home" / "sidecars", photos)
    check_target(tmp_path / "results", photos)
    # A folder of the images may have a job's name.
    with pytest.raises(OSError, match="has the results of a job"):
        _write(tmp_path / "results", FolderPath("job/photo.jpg.xmp"), b"x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InvalidRequest, match="a link to itself"):
        check_target(tmp_path / "loop", photos)
    for table in (results / "faces.csv", results / "xmp" / "new.csv"):
        with pytest.raises(InvalidRequest, match="results folder"):
            check_outside_results(table)
    check_outside_results(tmp_path / "results" / "faces.csv")


def test_sidecars_are_named_after_the_file_or_its_stem() -> None:
    """digiKam, darktable and Immich keep the extension, Adobe's programs replace it."""
    image = FolderPath("2020.01/photo.of.us.jpg")
    assert sidecar_name(image, Naming.FULL) == "2020.01/photo.of.us.jpg.xmp"
    assert sidecar_name(image, Naming.STEM) == "2020.01/photo.of.us.xmp"


def test_names_that_two_images_would_share_are_found() -> None:
    """A sidecar photo.xmp would be read for photo.jpg and for photo.png."""
    images = [FolderPath(path) for path in ("photo.jpg", "photo.png", "a/photo.gif", "other.jpg")]
    wanted = {sidecar_name(image, Naming.STEM) for image in images if image != "photo.png"}
    assert shared_names(images, wanted) == {"photo.xmp"}
