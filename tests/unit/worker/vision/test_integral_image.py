"""Area resizing compared with torch's."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from worker.vision import integral_image
from worker.vision.integral_image import IntegralImage, SumsBuffer

SIZE = st.integers(1, 60)


def _pixels(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def _by_torch(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    planar = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32))[None]
    return interpolate(planar, size=(height, width), mode="area")[0].numpy()


def _boxes(data: st.DataObject, height: int, width: int) -> np.ndarray:
    boxes = []
    for _ in range(4):
        x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        boxes.append([x1, y1, data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height))])
    return np.array(boxes)


@given(SIZE, SIZE, SIZE, SIZE, st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_resizing_equals_torchs_area_interpolation(height: int, width: int, out_h: int, out_w: int, seed: int) -> None:
    """Smaller, larger and one pixel wide: each value is the mean over the same whole-pixel window."""
    pixels = _pixels(height, width, seed)
    (resized,) = IntegralImage(pixels).resize([(out_h, out_w)])
    np.testing.assert_allclose(resized, _by_torch(pixels, out_h, out_w), atol=1e-3)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_crops_equal_torchs_area_interpolation(data: st.DataObject) -> None:
    """Every box gives torch's result for that part of the image, for both crop sizes of the cascade."""
    height, width = data.draw(st.integers(2, 90)), data.draw(st.integers(2, 90))
    pixels = _pixels(height, width, 7)
    boxes = _boxes(data, height, width)
    for size in (24, 48):
        for crop, (x1, y1, x2, y2) in zip(IntegralImage(pixels).crop(boxes, size), boxes, strict=True):
            np.testing.assert_allclose(crop, _by_torch(pixels[y1:y2, x1:x2], size, size), atol=1e-3)


@given(st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bands_change_no_bit(monkeypatch: pytest.MonkeyPatch, data: st.DataObject) -> None:
    """The result is the same for any number of rows per band."""
    height, width = data.draw(st.integers(2, 90)), data.draw(st.integers(2, 90))
    pixels = _pixels(height, width, 5)
    boxes = _boxes(data, height, width)
    sizes = [(data.draw(SIZE), data.draw(SIZE)) for _ in range(3)]
    whole = IntegralImage(pixels)
    with monkeypatch.context() as patch:
        patch.setattr(integral_image, "BAND_PIXELS", data.draw(st.integers(1, height * width)))
        in_bands = IntegralImage(pixels)
        for resized, expected in zip(in_bands.resize(sizes), whole.resize(sizes), strict=True):
            assert np.array_equal(resized, expected)
        assert np.array_equal(in_bands.crop(boxes, 24), whole.crop(boxes, 24))


def test_a_buffer_serves_images_of_any_size_one_after_another() -> None:
    """A larger, a smaller and again a larger image give the results of separate buffers."""
    buffer = SumsBuffer()
    for height, width in ((20, 30), (50, 40), (7, 9), (60, 60)):
        pixels = _pixels(height, width, height)
        (expected,) = IntegralImage(pixels).resize([(6, 7)])
        assert np.array_equal(IntegralImage(pixels, buffer).resize([(6, 7)])[0], expected)


@pytest.mark.parametrize("band_pixels", [integral_image.BAND_PIXELS, 10**9])
def test_sums_that_wrap_around_are_harmless(monkeypatch: pytest.MonkeyPatch, band_pixels: int) -> None:
    """A white image whose total exceeds 2**32 still gives white, in bands and in one piece."""
    monkeypatch.setattr(integral_image, "BAND_PIXELS", band_pixels)
    pixels = np.full((4200, 4200, 3), 255, np.uint8)  # 4.5e9 a channel
    (white,) = IntegralImage(pixels).resize([(10, 10)])
    assert np.abs(white - 255).max() < 1e-3
