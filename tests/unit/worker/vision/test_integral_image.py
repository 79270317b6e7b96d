"""Area windows against torch's own."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from worker.vision.integral_image import crop_area, integral_image, resize_area

SIZE = st.integers(1, 60)


def _pixels(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def _by_torch(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    planar = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32))[None]
    return interpolate(planar, size=(height, width), mode="area")[0].numpy()


@given(SIZE, SIZE, SIZE, SIZE, st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_resizing_equals_torchs_area_interpolation(height: int, width: int, out_h: int, out_w: int, seed: int) -> None:
    """Down, up, and one pixel wide: the mean over the same whole-pixel windows."""
    pixels = _pixels(height, width, seed)
    resized = resize_area(integral_image(pixels), out_h, out_w)
    np.testing.assert_allclose(resized, _by_torch(pixels, out_h, out_w), atol=1e-3)


@given(st.integers(13, 60), SIZE, st.integers(1, 12))
@settings(max_examples=50, deadline=None)
def test_a_strip_has_the_bits_of_the_whole(height: int, width: int, top: int) -> None:
    """Cutting a level into strips changes nothing."""
    sums = integral_image(_pixels(height, width, 1))
    whole = resize_area(sums, height - 1, width)
    assert np.array_equal(resize_area(sums, height - 1, width, top, top + 5), whole[:, top : top + 5])


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_crops_equal_torchs_area_interpolation(data: st.DataObject) -> None:
    """Every box gives what torch gives for that part of the image, for both sizes the cascade uses."""
    height, width = data.draw(st.integers(2, 90)), data.draw(st.integers(2, 90))
    pixels = _pixels(height, width, 7)
    boxes = []
    for _ in range(4):
        x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        boxes.append([x1, y1, data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height))])
    for size in (24, 48):
        crops = crop_area(integral_image(pixels), np.array(boxes), size)
        for crop, (x1, y1, x2, y2) in zip(crops, boxes, strict=True):
            np.testing.assert_allclose(crop, _by_torch(pixels[y1:y2, x1:x2], size, size), atol=1e-3)


def test_sums_that_wrap_around_are_harmless() -> None:
    """A white image whose total passes 2**32 still gives white."""
    pixels = np.full((4200, 4200, 3), 255, np.uint8)  # 4.5e9 a channel
    assert np.abs(resize_area(integral_image(pixels), 10, 10) - 255).max() < 1e-3
