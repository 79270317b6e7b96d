"""The pictures of faces in a report: cut from the right file, upright, small, and left out if they cannot be had."""

import base64
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.report import thumbnails
from tests.support.report_pages import digest_of, make_report, picture_of, report_with, save_image
from tests.support.results_folders import SIZE, make_results, people
from worker.vision.decode import Limits, decode


def test_pictures_are_upright_and_of_the_face(tmp_path: Path) -> None:
    """They are rotated by EXIF, cropped to the box, small, and without metadata."""
    upright = Image.new("RGB", SIZE, "blue")
    upright.paste("red", (0, 0, 60, 70))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a secret"
    (tmp_path / "images").mkdir()
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "images" / "a.jpg", exif=exif, comment=b"a secret")
    page = report_with(tmp_path, ["a.jpg"], people(1, 1))
    picture = picture_of(page, 0)
    assert picture is not None and picture.size == (96, 96) and not picture.getexif()
    assert b"secret" not in base64.b64decode(str(page.all("img")[0].attributes["src"]).split(",")[1])
    red, _, blue = picture.getpixel((20, 20))  # type: ignore[misc]
    assert red > 200 and blue < 60


def test_large_photographs_are_not_decoded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JPEG is decoded at a fraction of its size, and once for all its faces."""
    reduced = []
    monkeypatch.setattr(thumbnails, "_crop", lambda image, box, scale: reduced.append((image.size, scale)) or image)
    faces = [thumbnails.Face("a.jpg", (1000, 1000, 2600, 2600), 1.0), thumbnails.Face("a.jpg", (0, 0, 3000, 3000), 1.0)]
    save_image(tmp_path / "a.jpg", (4000, 3200))
    images = [thumbnails.ImageFile("a.jpg", "ok", "", "", 4000, 3200)]
    found = thumbnails.cut_thumbnails(faces, images, {"a.jpg": digest_of(tmp_path / "a.jpg")}, tmp_path)
    assert [size for size, _ in reduced] == [(500, 400)] * 2 and found.missing == 0


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "I;16", "F", "CMYK"])
def test_pictures_of_every_kind(tmp_path: Path, mode: str) -> None:
    """Every pixel format works."""
    kind = {"F": "tiff", "CMYK": "tiff"}.get(mode, "png")
    image = (
        Image.new("L", SIZE, 120).convert("RGB").convert(mode)
        if mode not in ("I;16", "F", "LA")
        else Image.new(mode, SIZE)
    )
    (tmp_path / "images").mkdir()
    image.save(tmp_path / "images" / f"a.{kind}")
    page = report_with(tmp_path, [f"a.{kind}"], people(1, 1))
    assert picture_of(page, 0) is not None


def test_pictures_that_cannot_be_had_are_missing(tmp_path: Path) -> None:
    """Missing, changed, damaged or escaped files, pipes, and files outside the folder are never an error."""
    images = tmp_path / "images"
    save_image(images / "good.jpg")
    save_image(images / "other.jpg", (50, 50))
    save_image(tmp_path / "outside.jpg")
    (images / "damaged.jpg").write_bytes((images / "good.jpg").read_bytes()[:300])
    (images / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    os.mkfifo(images / "pipe.jpg")
    Path(os.fsdecode(os.fsencode(images) + b"/\xff.jpg")).write_bytes((images / "good.jpg").read_bytes())
    paths = ["good.jpg", "gone.jpg", "other.jpg", "damaged.jpg", "link.jpg", "pipe.jpg", "../outside.jpg", "\\xff.jpg"]
    page = make_report(make_results(tmp_path / "j", paths, people(8, 1), photos=images), images)
    assert [picture_of(page, face) is not None for face in range(8)] == [True] + [False] * 7
    assert "No picture of 7 faces" in page.text


def test_only_the_file_that_was_embedded_gives_a_picture(tmp_path: Path) -> None:
    """Another file with the same path and size gives no picture, nor does a changed file or one without a digest."""
    for name in ("same.jpg", "changed.jpg", "unknown.jpg"):
        save_image(tmp_path / "mine" / name)
        save_image(tmp_path / "theirs" / name, color="blue")
    folder = make_results(
        tmp_path / "j", ["same.jpg", "changed.jpg", "unknown.jpg"], people(3, 1), photos=tmp_path / "mine"
    )
    with (tmp_path / "mine" / "changed.jpg").open("ab") as file:
        file.write(b"one byte more")
    table = (folder / "digests.csv").read_text().splitlines()
    (folder / "digests.csv").write_text("\n".join([*table[:3], "2,"]) + "\n")
    page = make_report(folder, tmp_path / "mine")
    assert [picture_of(page, face) is not None for face in range(3)] == [True, False, False]
    assert "No picture of 2 faces" in page.text
    page = make_report(folder, tmp_path / "theirs")
    assert [picture_of(page, face) for face in range(3)] == [None] * 3
    (folder / "digests.csv").unlink()
    page = make_report(folder, tmp_path / "mine")
    assert [picture_of(page, face) for face in range(3)] == [None] * 3


@pytest.mark.parametrize("kind", ["jpg", "tiff", "png"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_turned_images_of_every_kind_have_pictures(tmp_path: Path, kind: str, orientation: int) -> None:
    """The box is cropped from the upright image, even if Pillow itself rotates the image (TIFF)."""
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    upright = Image.new("RGB", SIZE, "blue")
    upright.paste("red", (0, 0, 60, 70))
    stored = upright.transpose(turn[orientation]) if orientation in turn else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    stored.save(tmp_path / "images" / f"a.{kind}", exif=exif)
    picture = picture_of(report_with(tmp_path, [f"a.{kind}"], people(1, 1)), 0)
    assert picture is not None
    red, _, blue = picture.getpixel((20, 20))  # type: ignore[misc]
    assert red > 200 and blue < 60


def test_pictures_are_bounded_in_time_and_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Omitted pictures are counted, and the page is still written."""
    for k in range(4):
        save_image(tmp_path / "images" / f"{k}.jpg")
    folder = make_results(tmp_path / "j", [f"{k}.jpg" for k in range(4)], people(4, 1), photos=tmp_path / "images")
    assert (
        "No picture of 4 faces, for lack of time"
        in make_report(folder, tmp_path / "images", thumbnail_seconds=-1.0).text
    )
    one = len(
        thumbnails.cut_thumbnails(
            [thumbnails.Face("0.jpg", (10, 10, 50, 60), 1)],
            [thumbnails.ImageFile("0.jpg", "ok", "", "", *SIZE)],
            {"0.jpg": digest_of(tmp_path / "images" / "0.jpg")},
            tmp_path / "images",
        ).jpegs[0]
        or b""
    )
    monkeypatch.setattr(thumbnails, "MAX_TOTAL_BYTES", 2 * one)
    assert "No picture of 2 faces, for lack of time" in make_report(folder, tmp_path / "images").text


def test_pictures_of_16_bit_images_have_the_brightness_that_the_networks_saw(tmp_path: Path) -> None:
    """A dark scan stays dark: the report does not stretch the contrast."""
    dark = Image.fromarray(np.full((120, 120), 20 * 257, np.uint16))
    dark.save(tmp_path / "a.png")
    faces = [thumbnails.Face("a.png", (20, 20, 100, 100), 1.0)]
    images = [thumbnails.ImageFile("a.png", "ok", "", "", 120, 120)]
    (jpeg,) = thumbnails.cut_thumbnails(faces, images, {"a.png": digest_of(tmp_path / "a.png")}, tmp_path).jpegs
    seen = decode((tmp_path / "a.png").read_bytes(), Limits(2**20, 10**6))
    assert jpeg is not None and seen.getpixel((60, 60)) == (20, 20, 20)
    shown = np.asarray(Image.open(io.BytesIO(jpeg)))
    assert abs(shown.mean() - 20) < 1
