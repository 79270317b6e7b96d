"""Faces that corrections name are found again by digest, name and box."""

import csv
from pathlib import Path

import pytest

from shared.domain.boxes import Box
from shared.domain.paths import ShownPath
from shared.results.corrections import Correction, FaceReference, Kind
from shared.results.found_faces import find_corrections, overlap
from shared.results.schema import BOX_COLUMNS, DIGEST_COLUMNS, FACE_COLUMNS, IMAGE_COLUMNS

LEFT, RIGHT = (10.0, 10.0, 50.0, 60.0), (70.0, 10.0, 110.0, 60.0)
ONE, TWO, GONE = ("1" * 32, "2" * 32, "9" * 32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`copy.jpg` has the bytes of `both.jpg`; both have two faces. `alone.jpg` has one."""
    images = {"empty.jpg": ("", []), "both.jpg": (ONE, [LEFT, RIGHT]), "alone.jpg": (TWO, [LEFT])}
    images["copy.jpg"] = images["both.jpg"]
    faces = [(number, path, box) for number, path in enumerate(images) for box in images[path][1]]
    _write(
        tmp_path / "faces.csv",
        FACE_COLUMNS,
        [
            {"face": row, "image": number, "path": path} | dict(zip(BOX_COLUMNS[:4], box, strict=True))
            for row, (number, path, box) in enumerate(faces)
        ],
    )
    _write(tmp_path / "images.csv", IMAGE_COLUMNS, [{"image": k, "path": path} for k, path in enumerate(images)])
    digests = [{"image": k, "blake2b": digest} for k, (digest, _) in enumerate(images.values())]
    _write(tmp_path / "digests.csv", DIGEST_COLUMNS, digests)
    return tmp_path


def _write(path: Path, columns: tuple[str, ...], rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _moved(box: Box, by: float) -> Box:
    return box[0] + by, box[1] + by, box[2] + by, box[3] + by


@pytest.mark.parametrize(
    ("image", "box", "digest", "row"),
    [
        ("both.jpg", RIGHT, ONE, 1),
        ("copy.jpg", RIGHT, ONE, 4),  # of files with equal bytes the one of that name
        ("moved.jpg", RIGHT, ONE, 1),  # renamed
        ("alone.jpg", RIGHT, ONE, 1),  # renamed, and another file has its name now
        ("alone.jpg", LEFT, GONE, 2),  # another file with the same faces, as after a change of its metadata
        ("both.jpg", _moved(LEFT, 5), "", 0),
        ("both.jpg", _moved(LEFT, 25), "", None),
        ("both.jpg", None, "", None),  # which of the two?
        ("alone.jpg", None, "", 2),
        ("empty.jpg", LEFT, "", None),
        ("gone.jpg", LEFT, GONE, None),
    ],
)
def test_a_face_is_found_by_digest_name_and_box(
    folder: Path, image: str, box: Box | None, digest: str, row: int | None
) -> None:
    """Its number does not matter: an update changes it."""
    said = Correction(Kind.HIDDEN, FaceReference(ShownPath(image), box, digest, 77))
    result = find_corrections(folder, [said])
    assert [found.face for found in result.found] == ([] if row is None else [row])
    assert [found.face for found in result.partly_found] == ([5] if row is None else [])  # behind the job's
    assert result.missing == ([said] if row is None else [])


def test_a_pair_needs_both_faces_and_the_order_stays(folder: Path) -> None:
    """A missing face costs its own corrections only."""
    here, gone = FaceReference(ShownPath("alone.jpg")), FaceReference(ShownPath("gone.jpg"))
    there = FaceReference(ShownPath("both.jpg"), RIGHT)
    corrections = [
        Correction(Kind.SAME, there, "", here),
        Correction(Kind.SAME, here, "", gone),
        Correction(Kind.DIFFERENT, gone, "", here),
        Correction(Kind.PERSON, here, "Ann"),
    ]
    result = find_corrections(folder, corrections)
    assert [(found.face, found.other, found.said.kind) for found in result.found] == [
        (1, 2, "same"),
        (2, None, "person"),
    ]
    assert result.missing == corrections[1:3]
    assert [(found.face, found.other) for found in result.partly_found] == [(2, 5), (5, 2)]


def test_results_without_digests_are_searched_by_name(folder: Path) -> None:
    """Results of earlier versions have none."""
    (folder / "digests.csv").unlink()
    result = find_corrections(folder, [Correction(Kind.HIDDEN, FaceReference(ShownPath("both.jpg"), RIGHT, ONE))])
    assert [found.face for found in result.found] == [1]


def test_overlap_is_intersection_over_union() -> None:
    """By hand: two squares that share a half, and two that only touch."""
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 2, 2), (2, 0, 4, 2)) == 0
    assert overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1
