"""Areas turn with the pixels of their image."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from shared.domain.image_formats import register_formats
from shared.domain.orientation import Area, _orientation_of_heif, is_sideways, orientation_of, turned, turned_back
from tests.support.turned_photos import UPRIGHT, red_box, save_photo
from worker.vision.decode import Limits, decode

ALL = range(1, 9)
SIZE = (80, 40)
CORNERS = (8, 4, 28, 10)  # left, top, right, bottom


def _opened(image: Image.Image, kind: str, **options: object) -> Image.Image:
    file = BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return Image.open(file)


def _bytes(opened: Image.Image) -> bytes:
    file = opened.fp
    assert file is not None
    file.seek(0)
    return file.read()


def _part(box: tuple[int, int, int, int], size: tuple[int, int]) -> Area:
    (left, top, right, bottom), (width, height) = box, size
    return Area(
        (left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height
    )


def _turned_by(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


@pytest.mark.parametrize("orientation", ALL)
def test_an_area_turns_like_pixels(orientation: int) -> None:
    """Pillow turns an image with a white rectangle by its EXIF orientation; the area is where the rectangle is then."""
    image = Image.new("L", SIZE)
    left, top, right, bottom = CORNERS
    image.paste(255, CORNERS)
    stored = Area((left + right) / 2 / 80, (top + bottom) / 2 / 40, (right - left) / 80, (bottom - top) / 40)
    image.getexif()[ExifTags.Base.Orientation] = orientation
    upright = ImageOps.exif_transpose(image)
    found = upright.getbbox()
    assert found is not None
    x, y, width, height = turned(stored, orientation)
    sides = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    np.testing.assert_allclose(sides * np.tile(upright.size, 2), found, atol=1e-9)
    assert (upright.size != SIZE) == is_sideways(orientation)


@pytest.mark.parametrize("orientation", ALL)
def test_turning_back_undoes_turning(orientation: int) -> None:
    """This holds in both orders."""
    area = Area(0.2, 0.7, 0.1, 0.3)
    assert turned_back(turned(area, orientation), orientation) == pytest.approx(area)
    assert turned(turned_back(area, orientation), orientation) == pytest.approx(area)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 6, 7])
def test_the_orientation_of_a_file_is_read(kind: str, orientation: int) -> None:
    """No pixel is decoded for that."""
    assert orientation_of(_opened(Image.new("RGB", SIZE), kind, exif=_turned_by(orientation))) == orientation


@pytest.mark.parametrize("orientation", ALL)
def test_heif_containers_say_how_they_are_turned(tmp_path: Path, orientation: int) -> None:
    """The decoder turns HEIC by the container's rotation and mirror, and the face is where the stored area turns to."""
    register_formats()
    save_photo(tmp_path / "stored.jpg", orientation)
    with Image.open(tmp_path / "stored.jpg") as stored:
        area = _part(red_box(stored), stored.size)
        # With EXIF data as bytes, the encoder writes what they say into the container.
        opened = _opened(stored.convert("RGB"), "HEIF", exif=_turned_by(orientation).tobytes(), quality=95)
    assert orientation_of(opened) == orientation
    image = decode(_bytes(opened), Limits(2**20, 10**6))
    assert image.size == UPRIGHT
    np.testing.assert_allclose(turned(area, orientation), _part(red_box(image), UPRIGHT), atol=0.02)


def test_exif_data_in_a_heif_container_turn_nothing() -> None:
    """The standard says so, and the decoder does so."""
    register_formats()
    opened = _opened(Image.new("RGB", SIZE), "HEIF", exif=_turned_by(6))
    assert opened.info["original_orientation"] == 6
    assert orientation_of(opened) == 1
    assert decode(_bytes(opened), Limits(2**20, 10**6)).size == SIZE


def test_transformations_of_a_container_follow_one_another() -> None:
    """A mirror before a rotation is not the same as after it; what is not known turns nothing."""
    assert _orientation_of_heif([("irot", 270), ("imir", 1)]) == 5
    assert _orientation_of_heif([("imir", 1), ("irot", 270)]) == 7
    assert _orientation_of_heif([("clap", 10, 10, 0, 0), ("irot", 90)]) == 8
    assert _orientation_of_heif([]) == 1


@pytest.mark.parametrize("stated", [0, 9, 300])
def test_an_invalid_orientation_turns_nothing(stated: int) -> None:
    """Programs ignore it."""
    assert orientation_of(_opened(Image.new("RGB", SIZE), "JPEG", exif=_turned_by(stated))) == 1


def test_damaged_exif_turns_nothing() -> None:
    """As when the image is decoded."""
    for exif in (b"Exif\0\0junk", _turned_by(6).tobytes()[:-6], b"Exif\0\0II*\0\xff\xff\xff\xff"):
        assert orientation_of(_opened(Image.new("RGB", SIZE), "JPEG", exif=exif)) == 1
