"""Every image with a named face gets its sidecar, or one line says why not."""

import os
import tarfile
from pathlib import Path

import pytest

from producer.sidecars.names import Naming
from producer.sidecars.reading import described
from producer.sidecars.writing import SidecarCounts, SidecarRequest, write_sidecars
from shared.domain.errors import InvalidRequest, ResultsError
from shared.domain.orientation import Area
from tests.support.results_folders import make_results, people
from tests.support.turned_photos import FACE, UPRIGHT, results_of_photos, save_photo


def _write(
    results: Path, photos: Path, names: dict[int, str], to: Path, **options: object
) -> tuple[SidecarCounts, str]:
    said: list[str] = []
    request = SidecarRequest(target=to, images=photos, **options)  # type: ignore[arg-type]
    counts = write_sidecars(results, names, request, said.append)
    return counts, "\n".join(said)


def _sidecars(to: Path) -> list[str]:
    return sorted(path.relative_to(to).as_posix() for path in to.rglob("*") if path.is_file())


def test_only_images_with_names_have_sidecars(tmp_path: Path) -> None:
    """Strangers are not written; the tree is that of the images, which stay as they are."""
    photos = tmp_path / "photos"
    for name in ("a.jpg", "b/a.jpg", "c.jpg"):
        save_photo(photos / name, 6)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in photos.rglob("*.jpg")}
    results = results_of_photos(tmp_path / "job", photos, ["a.jpg", "b/a.jpg", "c.jpg"])
    counts, said = _write(results, photos, {0: "Ann", 1: "Ben"}, tmp_path / "to")
    assert (counts, said) == (SidecarCounts(2, 0, 0), "")
    assert _sidecars(tmp_path / "to") == ["a.jpg.xmp", "b/a.jpg.xmp"]
    found = described((tmp_path / "to" / "b" / "a.jpg.xmp").read_bytes())
    assert (found.size, found.orientation, found.regions[0].name) == ((80, 120), 6, "Ben")
    assert {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in photos.rglob("*") if path.is_file()
    } == before
    assert _write(results, photos, {0: "Ann", 1: "Ben"}, tmp_path / "to")[0] == SidecarCounts(0, 2, 0)


def test_what_cannot_be_placed_is_said(tmp_path: Path) -> None:
    """A missing, a changed and a broken image, one that leads out, and a name that XML forbids cost no other image."""
    photos = tmp_path / "photos"
    paths = ["gone.jpg", "changed.jpg", "broken.jpg", "link.jpg", "name.jpg", "good.jpg"]
    for path in paths:
        save_photo(photos / path, 1)
    (photos / "broken.jpg").write_bytes(b"no image")
    results = results_of_photos(tmp_path / "job", photos, paths)
    (photos / "gone.jpg").unlink()
    save_photo(photos / "changed.jpg", 3)
    (photos / "link.jpg").rename(tmp_path / "outside.jpg")
    (photos / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    names = dict.fromkeys(range(6), "Ann") | {4: "A\ufffe"}
    counts, said = _write(results, photos, names, tmp_path / "to")
    assert counts == SidecarCounts(1, 0, 5)
    assert _sidecars(tmp_path / "to") == ["good.jpg.xmp"]
    reasons = ("not there", "not the one that the job read", "cannot be decoded", "leads out", "XML has not all")
    for path, reason in zip(paths, reasons, strict=False):
        assert any(line.startswith(f"{path}: ") and reason in line for line in said.splitlines()), (path, said)


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    """Each is named, with the option that replaces it."""
    photos, to = tmp_path / "photos", tmp_path / "to"
    save_photo(photos / "a.jpg", 1)
    results = results_of_photos(tmp_path / "job", photos, ["a.jpg"])
    to.mkdir()
    (to / "a.jpg.xmp").write_text("mine")
    counts, said = _write(results, photos, {0: "Ann"}, to)
    assert counts == SidecarCounts(0, 0, 1)
    assert "--overwrite" in said
    assert (to / "a.jpg.xmp").read_text() == "mine"
    assert _write(results, photos, {0: "Ann"}, to, overwrite=True)[0] == SidecarCounts(1, 0, 0)


def test_many_troubles_are_counted(tmp_path: Path) -> None:
    """The first twenty have a line each."""
    paths = [f"{number}.jpg" for number in range(30)]
    (tmp_path / "photos").mkdir()
    results = results_of_photos(tmp_path / "job", tmp_path / "photos", paths)
    counts, said = _write(results, tmp_path / "photos", dict.fromkeys(range(30), "Ann"), tmp_path / "to")
    assert counts.troubles == 30
    assert len(said.splitlines()) == 21
    assert said.endswith("... and 10 more files like these.")


def test_images_that_would_share_a_sidecar_have_none(tmp_path: Path) -> None:
    """`photo.xmp` would be read for both images, also if only one has a face. A text file does not count."""
    photos = tmp_path / "photos"
    save_photo(photos / "photo.jpg", 1)
    save_photo(photos / "other.jpg", 1)
    more = [
        {"image": 2, "path": "photo.png", "outcome": "no_face", "faces": 0},
        {"image": 3, "path": "other.txt", "outcome": "skipped", "faces": 0},
    ]
    results = results_of_photos(tmp_path / "job", photos, ["photo.jpg", "other.jpg"], more=more)
    counts, said = _write(results, photos, {0: "Ann", 1: "Ben"}, tmp_path / "to", naming=Naming.STEM)
    assert counts == SidecarCounts(1, 0, 1)
    assert said.startswith("photo.jpg: ")
    assert _sidecars(tmp_path / "to") == ["other.xmp"]


def test_members_of_archives_have_sidecars(tmp_path: Path) -> None:
    """They are in a folder with the archive's name, and their orientation is read from the archive."""
    photos = tmp_path / "photos"
    for number in (6, 3):
        save_photo(tmp_path / "members" / f"{number}.jpg", number)
    photos.mkdir()
    with tarfile.open(photos / "shard.tar", "w") as archive:
        for number in (6, 3):
            archive.add(tmp_path / "members" / f"{number}.jpg", f"x/{number}.jpg")
    paths = [f"shard.tar/x/{number}.jpg" for number in (6, 3)]
    results = results_of_photos(tmp_path / "job", photos, [*paths, "shard.tar/x/gone.jpg"])
    counts, said = _write(results, photos, dict.fromkeys(range(3), "Ann"), tmp_path / "to")
    assert counts == SidecarCounts(2, 0, 1)
    assert said.startswith("shard.tar/x/gone.jpg: ")
    found = [described((tmp_path / "to" / f"{path}.xmp").read_bytes()).orientation for path in paths]
    assert found == [6, 3]


def test_regions_end_at_the_image(tmp_path: Path) -> None:
    """A face that the edge cuts off has a box that begins outside; a face that lies outside has no region."""
    photos = tmp_path / "photos"
    save_photo(photos / "a.jpg", 1)
    boxes = [(-30.0, -20.0, 30.0, 40.0), (200.0, 0.0, 220.0, 20.0)]
    results = make_results(
        tmp_path / "job", ["a.jpg"] * 2, people(2, 1), photos=photos, boxes=boxes, sizes={"a.jpg": UPRIGHT}
    )
    counts, said = _write(results, photos, {0: "Ann", 1: "Ben"}, tmp_path / "to")
    assert counts == SidecarCounts(1, 0, 1)
    assert "face 1" in said
    (region,) = described((tmp_path / "to" / "a.jpg.xmp").read_bytes()).regions
    assert region.area == pytest.approx(Area(0.125, 0.25, 0.25, 0.5))


def test_results_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    """One line says which file it is; a folder that cannot be made is said too."""
    photos = tmp_path / "photos"
    save_photo(photos / "a.jpg", 1)
    results = results_of_photos(tmp_path / "job", photos, ["a.jpg"])
    faces = results / "faces.csv"
    faces.write_text(faces.read_text().replace("0,0,a.jpg", "0,7,a.jpg"))
    with pytest.raises(ResultsError, match="faces of image 7"):
        _write(results, photos, {0: "Ann"}, tmp_path / "to")
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match="--to"):
        _write(results, photos, {0: "Ann"}, tmp_path / "file" / "to")
    with pytest.raises(InvalidRequest, match="folder of the images"):
        _write(results, photos, {0: "Ann"}, photos)


def test_names_that_are_not_utf8_keep_their_bytes(tmp_path: Path) -> None:
    """`digests.csv` has the exact path of such an image, and the sidecar has the same bytes in its name."""
    photos = tmp_path / "photos"
    save_photo(photos / os.fsdecode(b"\xff.jpg"), 1)
    results = results_of_photos(tmp_path / "job", photos, ["\\xff.jpg"])
    (results / "digests.csv").write_text(
        'image,blake2b,size,mtime_ns,exact_path\n0,,0,0,"""\\udcff.jpg"""\n', encoding="utf-8"
    )
    assert _write(results, photos, {0: "Ann"}, tmp_path / "to")[0] == SidecarCounts(1, 0, 0)
    assert [os.fsencode(path.name) for path in (tmp_path / "to").iterdir()] == [b"\xff.jpg.xmp"]


def test_the_face_is_where_the_region_is(tmp_path: Path) -> None:
    """The area is in parts of the stored image, whose sides are exchanged."""
    photos = tmp_path / "photos"
    save_photo(photos / "a.jpg", 8)
    results = results_of_photos(tmp_path / "job", photos, ["a.jpg"])
    _write(results, photos, {0: "Ann"}, tmp_path / "to")
    (region,) = described((tmp_path / "to" / "a.jpg.xmp").read_bytes()).regions
    left, top, right, bottom = FACE
    width, height = UPRIGHT
    # Orientation 8: the stored image is turned by a quarter to the left to be upright.
    expected = Area(1 - (top + bottom) / 2 / height, (left + right) / 2 / width, 40 / height, 30 / width)
    assert region.area == pytest.approx(expected)
