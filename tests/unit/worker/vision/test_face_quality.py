"""The quality of a face: size, sharpness, pose and share inside the image."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.unit.worker.vision.test_face_crops import TEMPLATE
from worker.vision.face_crops import align_face, align_gray, to_source
from worker.vision.face_quality import measure_quality, sharpness

BOX = np.array([60, 50, 140, 160], np.float32)


def _noise(side: int = 240) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))


def _detailed() -> np.ndarray:
    """Contrast at all scales, as photos have: gray values of mean 127 and standard deviation 40."""
    noise = np.random.default_rng(2).normal(0, 1, (240, 240))
    scales = [cv2.GaussianBlur(noise, (0, 0), 2.0**k) * 3.0**k for k in range(6)]
    image = np.sum(scales, axis=0)
    gray = 127 + 40 * (image - image.mean()) / image.std()
    return np.repeat(gray[:, :, None], 3, axis=2)


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _points(angle: float = 0.0, scale: float = 1.0, center: tuple[float, float] = (120, 120)) -> np.ndarray:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((TEMPLATE - 56) @ turn.T + center).astype(np.float32)


def test_sharpness_is_what_opencv_gives() -> None:
    """The variance of its Laplacian of the smoothed image, where that has all neighbors, over the image's variance."""
    gray = np.random.default_rng(1).integers(0, 256, (40, 50), np.uint8)
    binomial = np.outer([1, 2, 1], [1, 2, 1]) / 16
    laplacian = cv2.Laplacian(cv2.filter2D(gray.astype(np.float64), -1, binomial), cv2.CV_64F)[2:-2, 2:-2]
    assert sharpness(gray) == pytest.approx(1000 * laplacian.var() / (gray.var() + 25), rel=1e-12)
    assert sharpness(np.full((40, 50), 7, np.uint8)) == 0


def test_darkness_and_little_contrast_are_no_blur() -> None:
    """The variance alone would be a tenth."""
    image = _detailed()
    pictures = map(_picture, (image, image * 0.3, 127 + (image - 127) * 0.3))
    bright, *others = (measure_quality(picture, BOX, _points()).sharpness for picture in pictures)
    assert all(0.6 * bright < other < 1.1 * bright for other in others)


def test_a_blurred_face_is_less_sharp() -> None:
    """The more it is blurred."""
    radii = [0, 0.5, 1, 2, 4]
    blurred = [_picture(_detailed()).filter(ImageFilter.GaussianBlur(radius)) for radius in radii]
    found = [measure_quality(image, BOX, _points()).sharpness for image in blurred]
    assert found == sorted(found, reverse=True) and found[0] > 10 * found[4] > 0


@pytest.mark.parametrize("scale", [0.6, 2.7])
def test_the_gray_crop_is_the_colored_one_in_gray(scale: float) -> None:
    """So sharpness is that of what an aligned embedder sees."""
    points = _points(0.3, scale)
    gray = align_gray(_noise(), to_source(BOX, points, 112), 20, 32, 72).astype(np.float32)
    red, green, blue = align_face(_noise(), BOX, points, 112)[:, 32:104, 20:92]
    assert np.abs(gray - (0.299 * red + 0.587 * green + 0.114 * blue)).max() < 2


@pytest.mark.parametrize("center", [(700, 800), (60, 50), (-900, 300)])
def test_a_very_large_face_is_sampled(center: tuple[float, float]) -> None:
    """Evenly, in the right place, also where it reaches over the edge: as all of its pixels give it, but for noise."""
    y, x = np.mgrid[:1600, :1500]
    smooth = np.stack(
        [127 + 120 * np.sin(x / 90 + y / 140), 127 + 120 * np.cos(x / 110), 127 + 120 * np.sin(y / 70)], 2
    )
    image, points = Image.fromarray(smooth.astype(np.uint8)), _points(0.3, 12.6, center)
    gray = align_gray(image, to_source(BOX, points, 112), 20, 32, 72).astype(np.float32)
    red, green, blue = align_face(image, BOX, points, 112)[:, 32:104, 20:92]
    difference = np.abs(gray - (0.299 * red + 0.587 * green + 0.114 * blue))
    assert np.quantile(difference, 0.98) < 3  # all but the pixels at the image's edge


@pytest.mark.parametrize("degrees", [-120, -30, 0, 45, 179])
def test_roll_is_the_angle_of_the_face_in_the_image(degrees: float) -> None:
    """Clockwise; yaw does not change with it."""
    found = measure_quality(_noise(), BOX, _points(np.radians(degrees), 0.8))
    assert found.roll_deg == pytest.approx(degrees, abs=0.02)
    assert abs(found.yaw) < 0.001


@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_yaw_is_how_far_the_nose_is_off_the_middle(angle: float) -> None:
    """In distances of the eyes, to the right as the face is seen upright."""
    points = _points(angle)
    turned = points.copy()
    turned[2] += 0.3 * (points[1] - points[0])
    # The nose also moves the least-squares transform a little.
    assert measure_quality(_noise(), BOX, turned).yaw == pytest.approx(0.3, abs=0.02)


def test_size_and_share_inside_come_from_the_box() -> None:
    """The smaller side counts, with what is outside of the image."""
    image = Image.new("RGB", (100, 200))
    cut = measure_quality(image, np.array([60, 50, 140, 160], np.float32), _points())
    assert (cut.size_px, cut.inside) == (80, 0.5)
    whole = measure_quality(image, np.array([10, 50, 90, 120.5], np.float32), _points())
    assert (whole.size_px, whole.inside) == (70.5, 1)
    outside = measure_quality(image, np.array([-30, -30, -10, -10], np.float32), _points(center=(-200, -200)))
    assert (outside.size_px, outside.inside, outside.sharpness) == (20, 0, 0)


def test_landmarks_and_boxes_that_say_nothing_give_figures_all_the_same() -> None:
    """An image never fails because of them."""
    found = measure_quality(_noise(), np.array([50, 50, 50, 40], np.float32), np.full((5, 2), 80, np.float32))
    assert found.size_px == 0 and found.yaw == 0 and found.roll_deg == 0 and found.inside == 0
