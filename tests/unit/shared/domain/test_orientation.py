"""Areas turn with the pixels of their image."""

from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from shared.domain.image_formats import register_formats
from shared.domain.orientation import Area, is_sideways, orientation_of, turned, turned_back

ALL = range(1, 9)
SIZE = (80, 40)
CORNERS = (8, 4, 28, 10)  # left, top, right, bottom


def _opened(image: Image.Image, kind: str, **options: object) -> Image.Image:
    file = BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return Image.open(file)


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


def test_heif_files_say_how_others_turn_them() -> None:
    """The decoder turns HEIC by itself and then says that it is upright, but other programs read the EXIF data."""
    register_formats()
    opened = _opened(Image.new("RGB", SIZE), "HEIF")
    opened.info["original_orientation"] = 6
    assert orientation_of(opened) == 6
    opened.info["original_orientation"] = None
    assert orientation_of(opened) == 1


@pytest.mark.parametrize("stated", [0, 9, 300])
def test_an_invalid_orientation_turns_nothing(stated: int) -> None:
    """Programs ignore it."""
    assert orientation_of(_opened(Image.new("RGB", SIZE), "JPEG", exif=_turned_by(stated))) == 1


def test_damaged_exif_turns_nothing() -> None:
    """As when the image is decoded."""
    for exif in (b"Exif\0\0junk", _turned_by(6).tobytes()[:-6], b"Exif\0\0II*\0\xff\xff\xff\xff"):
        assert orientation_of(_opened(Image.new("RGB", SIZE), "JPEG", exif=exif)) == 1
