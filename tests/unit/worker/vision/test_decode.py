"""Any readable file becomes an upright RGB image; any other file gives a reason."""

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.domain.image_formats import has_image_signature
from shared.domain.outcomes import Outcome
from worker.vision import decode as decode_module
from worker.vision.decode import ImageTrouble, Limits, decode, read_bytes

LIMITS = Limits(10 * 2**20, 4 * 10**6)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    target = BytesIO()
    image.save(target, kind, **options)  # type: ignore[arg-type]
    return target.getvalue()


def _pixel(data: bytes) -> tuple[int, ...]:
    return tuple(int(v) for v in np.asarray(decode(data, LIMITS))[0, 0])


def _trouble(data: bytes, limits: Limits = LIMITS) -> ImageTrouble:
    with pytest.raises(ImageTrouble) as caught:
        decode(data, limits)
    return caught.value


def test_exif_orientation_is_applied() -> None:
    """With orientation 6 (camera held upright), rows become columns."""
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(_saved(Image.new("RGB", (40, 20)), "JPEG", exif=exif), LIMITS).size == (20, 40)


def test_damaged_exif_turns_nothing() -> None:
    """Neither pixels nor sides are rotated, whichever part of the EXIF data is damaged."""
    whole = Image.Exif()
    whole[0x0112] = 6
    for exif in (b"Exif\0\0junk", whole.tobytes()[:-6], b"Exif\0\0II*\0\xff\xff\xff\xff"):
        assert decode(_saved(Image.new("RGB", (40, 20)), "JPEG", exif=exif), LIMITS).size == (40, 20)


@pytest.mark.parametrize("where", ["PIL.JpegImagePlugin.JpegImageFile.load", "PIL.ImageOps.exif_transpose"])
def test_want_of_memory_is_no_fault_of_the_image(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is passed on: other processes may use the memory, and the image may be fine the next time."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = _saved(Image.new("RGB", (40, 20)), "JPEG", exif=exif)

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(where, fail)
    with pytest.raises(MemoryError):
        decode(data, LIMITS)


def test_transparency_lies_on_white() -> None:
    """This covers RGBA, gray with alpha, and a palette with a transparent entry."""
    assert _pixel(_saved(Image.new("RGBA", (4, 4), (10, 20, 30, 0)), "PNG")) == (255, 255, 255)
    assert _pixel(_saved(Image.new("LA", (4, 4), (10, 0)), "PNG")) == (255, 255, 255)
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([200, 0, 0])
    assert _pixel(_saved(palette, "PNG", transparency=0)) == (255, 255, 255)


def test_16_bits_are_scaled_and_not_clipped() -> None:
    """Half of 65535 becomes half of 255."""
    image = Image.fromarray(np.full((4, 4), 32896, np.uint16))
    assert _pixel(_saved(image, "PNG")) == (128, 128, 128)


def test_floating_point_is_scaled_from_0_to_1() -> None:
    """For example in a TIFF file of floats."""
    assert _pixel(_saved(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "TIFF")) == (128, 128, 128)


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "YCbCr", "LAB"])
def test_other_modes_become_rgb(mode: str) -> None:
    """TIFF files can have all these modes."""
    assert decode(_saved(Image.new(mode, (6, 5)), "TIFF"), LIMITS).mode == "RGB"


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000"])
def test_formats_are_known_by_content(kind: str) -> None:
    """The bytes decide, not the name."""
    data = _saved(Image.new("RGB", (64, 48), (200, 30, 30)), kind)
    assert decode(data, LIMITS).size == (64, 48)
    assert has_image_signature(data[:32])


def test_an_animation_gives_its_first_frame() -> None:
    """A GIF with a red and a blue frame gives red."""
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    red, _, blue = _pixel(_saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert red > 200 > 50 > blue


def test_too_many_pixels_are_refused_before_decoding() -> None:
    """The reason names the size and the limit."""
    trouble = _trouble(_saved(Image.new("1", (3000, 2000)), "PNG"))
    assert trouble.outcome == Outcome.TOO_LARGE
    assert str(trouble) == "3000 x 2000 pixels, the limit is 4 megapixels"


@pytest.mark.parametrize("kind", ["ICO", "ICNS"])
def test_an_icon_with_a_huge_picture_inside_is_refused(kind: str) -> None:
    """Its directory claims a small size, but the PNG inside, which the reader decodes itself, is huge."""
    before = Image.MAX_IMAGE_PIXELS
    bomb = _saved(Image.new("1", (3000, 2000)), "PNG")
    if kind == "ICO":
        data = struct.pack("<HHH4B2H2I", 0, 1, 1, 32, 32, 0, 0, 1, 32, len(bomb), 22) + bomb
    else:
        data = b"icns" + struct.pack(">I4sI", 16 + len(bomb), b"ic07", 8 + len(bomb)) + bomb
    trouble = _trouble(data)
    assert (trouble.outcome, "icon" in str(trouble)) == (Outcome.TOO_LARGE, True)
    assert before == Image.MAX_IMAGE_PIXELS  # it is the whole process's
    small = _saved(Image.new("RGB", (128, 128), (200, 30, 30)), kind)
    assert _pixel(small) == (200, 30, 30)


def test_a_truncated_file_is_unreadable() -> None:
    """The reason is readable, without memory addresses."""
    data = _saved(Image.effect_noise((200, 200), 90).convert("RGB"), "JPEG")
    trouble = _trouble(data[: len(data) // 2])
    assert trouble.outcome == Outcome.UNREADABLE
    assert "truncated" in str(trouble)
    assert "0x" not in str(_trouble(b"\xff\xd8\xff" + b"junk" * 50))


def test_files_are_judged_by_extension_or_signature(tmp_path: Path) -> None:
    """A text file is skipped, a text file named .jpg is unreadable, an image named .txt is read."""
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(ImageTrouble) as caught:
        read_bytes(tmp_path / "a.txt", LIMITS)
    assert caught.value.outcome == Outcome.SKIPPED
    (tmp_path / "b.jpg").write_text("hello")
    assert _trouble(read_bytes(tmp_path / "b.jpg", LIMITS)).outcome == Outcome.UNREADABLE
    (tmp_path / "c.txt").write_bytes(_saved(Image.new("RGB", (8, 8)), "PNG"))
    assert decode(read_bytes(tmp_path / "c.txt", LIMITS), LIMITS).size == (8, 8)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    """The file is sparse: 11 MiB that would be refused."""
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(11 * 2**20)
    with pytest.raises(ImageTrouble) as caught:
        read_bytes(path, LIMITS)
    assert caught.value.outcome == Outcome.TOO_LARGE


def test_a_file_that_grows_while_it_is_read_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than the limit is read into memory."""
    growing = tmp_path / "a.jpg"
    growing.write_bytes(_saved(Image.new("RGB", (40, 20)), "JPEG"))
    real = decode_module.check_file

    def check_file(*arguments: Any) -> None:
        real(*arguments)
        with growing.open("ab") as file:  # as a download does
            file.write(bytes(LIMITS.max_bytes))

    monkeypatch.setattr(decode_module, "check_file", check_file)
    with pytest.raises(ImageTrouble) as caught:
        read_bytes(growing, LIMITS)
    assert caught.value.outcome == Outcome.TOO_LARGE
