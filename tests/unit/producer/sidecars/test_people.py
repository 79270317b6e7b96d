"""Names in the sidecars of other programs become the names of a job's faces."""

from pathlib import Path

import pytest

from producer.sidecars.packet import packet
from producer.sidecars.people import people_of_sidecars
from producer.sidecars.region import Described, Region
from shared.domain.errors import InvalidRequest
from shared.domain.orientation import Area, turned_back
from shared.results.corrections import Correction
from shared.results.found_faces import find_corrections
from tests.support.results_folders import make_results, people
from tests.support.turned_photos import FACE, UPRIGHT, results_of_photos, save_photo

LEFT, TOP, RIGHT, BOTTOM = FACE
OF_DIGIKAM = Area((LEFT + RIGHT) / 2 / 120, (TOP + BOTTOM) / 2 / 80 - 0.03, 1.4 * 30 / 120, 1.3 * 40 / 80)
"""A larger box around the face, in the upright photo."""


def _sidecar(
    path: Path, *names: str, orientation: int = 1, size: tuple[int, int] | None = None, stated: int = 1
) -> None:
    size = size or ((80, 120) if orientation >= 5 else UPRIGHT)
    regions = tuple(Region(name, turned_back(OF_DIGIKAM, orientation)) for name in names)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packet(Described(regions, size, stated)))


def _read(sidecars: Path, results: Path, images: Path | None) -> tuple[list[Correction], list[str]]:
    said: list[str] = []
    return people_of_sidecars(sidecars, results, images, said.append), said


@pytest.mark.parametrize("name", ["{}.xmp", "{}"])
def test_sidecars_of_both_names_are_read(tmp_path: Path, name: str) -> None:
    """`a.jpg.xmp` or `a.xmp`, beside the photos or in a folder of their own."""
    photos = tmp_path / "photos"
    save_photo(photos / "b" / "a.jpg", 1)
    results = results_of_photos(tmp_path / "job", photos, ["b/a.jpg"])
    for folder in (photos, tmp_path / "own"):
        _sidecar(folder / "b" / ("a.xmp" if name == "{}" else "a.jpg.xmp"), "Ann")
        found, said = _read(folder, results, photos)
        assert [(one.person, one.face.image, one.face.number) for one in found] == [("Ann", "b/a.jpg", 0)]
        assert found[0].face.box == FACE
        assert said == [f"{folder}: 1 sidecar names 1 face."]
        assert [one.face for one in find_corrections(results, found).found] == [0]


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_photo_says_how_it_is_turned(tmp_path: Path, orientation: int) -> None:
    """Regions are in the stored photo. What the sidecar states counts only without the photo."""
    photos = tmp_path / "photos"
    save_photo(photos / "a.jpg", orientation)
    results = results_of_photos(tmp_path / "job", photos, ["a.jpg"])
    _sidecar(tmp_path / "own" / "a.jpg.xmp", "Ann", orientation=orientation, stated=1)
    assert len(_read(tmp_path / "own", results, photos)[0]) == 1
    _sidecar(tmp_path / "own" / "a.jpg.xmp", "Ann", orientation=orientation, stated=orientation)
    assert len(_read(tmp_path / "own", results, None)[0]) == 1


def test_broken_sidecars_cost_no_other(tmp_path: Path) -> None:
    """Each has one line; so has a sidecar of an image of another shape, and one that a link leads out of the folder."""
    photos, own = tmp_path / "photos", tmp_path / "own"
    paths = ["broken.jpg", "entity.jpg", "shape.jpg", "link.jpg", "none.jpg", "good.jpg"]
    for path in paths:
        save_photo(photos / path, 1)
    results = results_of_photos(tmp_path / "job", photos, paths)
    for path in paths:
        _sidecar(own / f"{path}.xmp", "Ann")
    (own / "none.jpg.xmp").unlink()
    (own / "broken.jpg.xmp").write_bytes(b"<x:xmpmeta")
    (own / "entity.jpg.xmp").write_bytes(b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>')
    _sidecar(own / "shape.jpg.xmp", "Ann", size=(120, 120))
    (own / "link.jpg.xmp").rename(tmp_path / "outside.xmp")
    (own / "link.jpg.xmp").symlink_to(tmp_path / "outside.xmp")
    found, said = _read(own, results, photos)
    assert [one.face.image for one in found] == ["good.jpg"]
    for path, reason in zip(paths, ("no XML", "document type", "another shape", "leads out"), strict=False):
        assert sum(line.startswith(f"{path}.xmp: ") and reason in line for line in said) == 1, (path, said)
    assert said[-1].endswith("2 sidecars name 1 face.")


def test_regions_without_a_face_are_counted(tmp_path: Path) -> None:
    """digiKam may know faces that the job has not embedded, and two names for one face."""
    photos = tmp_path / "photos"
    save_photo(photos / "a.jpg", 1)
    results = results_of_photos(tmp_path / "job", photos, ["a.jpg"])
    _sidecar(photos / "a.jpg.xmp", "Ann", "Ben")
    found, said = _read(photos, results, photos)
    assert len(found) == 1
    assert said[-1].endswith("1 region with a name is no face of this job.")


def test_names_are_normalized(tmp_path: Path) -> None:
    """Names are compared in NFC; one that cannot be a name is said."""
    photos = tmp_path / "photos"
    for path in ("a.jpg", "b.jpg"):
        save_photo(photos / path, 1)
    results = results_of_photos(tmp_path / "job", photos, ["a.jpg", "b.jpg"])
    _sidecar(photos / "a.jpg.xmp", "A\u030asa")
    _sidecar(photos / "b.jpg.xmp", "x" * 201)
    found, said = _read(photos, results, photos)
    assert [one.person for one in found] == ["\u00c5sa"]
    assert said[0].startswith("b.jpg.xmp: a face left out")


def test_a_folder_without_sidecars_is_refused(tmp_path: Path) -> None:
    """Most likely it is another level of the tree."""
    photos = tmp_path / "photos"
    save_photo(photos / "a.jpg", 1)
    results = results_of_photos(tmp_path / "job", photos, ["a.jpg"])
    _sidecar(tmp_path / "own" / "photos" / "a.jpg.xmp", "Ann")
    with pytest.raises(InvalidRequest, match="no readable sidecar"):
        _read(tmp_path / "own", results, photos)


def test_several_faces_of_an_image_are_told_apart(tmp_path: Path) -> None:
    """Each region finds its own face, whatever their order."""
    photos = tmp_path / "photos"
    save_photo(photos / "a.jpg", 6)
    boxes = [(10.0, 20.0, 30.0, 50.0), (40.0, 22.0, 62.0, 51.0), tuple(map(float, FACE))]
    results = make_results(
        tmp_path / "job", ["a.jpg"] * 3, people(3, 1), photos=photos, boxes=boxes, sizes={"a.jpg": UPRIGHT}
    )
    names = ("Cleo", "Ann")
    areas = [
        Area((left + right) / 240, (top + bottom) / 160, 1.3 * (right - left) / 120, 1.3 * (bottom - top) / 80)
        for left, top, right, bottom in (boxes[2], boxes[0])
    ]
    regions = tuple(Region(name, turned_back(area, 6)) for name, area in zip(names, areas, strict=True))
    (photos / "a.jpg.xmp").write_bytes(packet(Described(regions, (80, 120), 6)))
    found, _ = _read(photos, results, photos)
    assert {one.person: one.face.number for one in found} == {"Cleo": 2, "Ann": 0}
