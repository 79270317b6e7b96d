"""Crops as embedders take them: aligned by five points, in their order of channels and their scale."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from shared.domain.arrays import Float32
from tests.support.made_up_blocks import CONTRACT
from worker.vision.face_crops import align_face, cut_crop

TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
BOX = np.array([30, 30, 130, 150], np.float32)


def _image(width: int = 320, height: int = 280) -> Image.Image:
    """Smooth, in three different channels: interpolation is compared, not aliasing."""
    y, x = np.mgrid[:height, :width]
    channels = [127 + 120 * np.sin(x / 17 + y / 29), 127 + 120 * np.cos(x / 23), 127 + 120 * np.sin(y / 19)]
    return Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))


def _umeyama(points: Float32) -> np.ndarray:
    """[2, 3] from the image to the crop, as Umeyama's paper has it, with a singular value decomposition."""
    source, target = np.asarray(points, np.float64), TEMPLATE
    of_source, of_target = source - source.mean(0), target - target.mean(0)
    u, d, vt = np.linalg.svd(of_target.T @ of_source / len(source))
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(sign) @ vt
    scale = (d * sign).sum() / of_source.var(0).sum()
    return np.column_stack([scale * rotation, target.mean(0) - scale * rotation @ source.mean(0)])


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2, 3.0])
@pytest.mark.parametrize("scale", [0.6, 1.0, 1.7])
def test_a_face_is_aligned_as_opencv_does_with_umeyamas_transform(angle: float, scale: float) -> None:
    """Landmarks that no similarity transform takes to the template exactly, as those of a detector."""
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    jitter = np.random.default_rng(3).normal(0, 2, (5, 2))
    points = ((TEMPLATE - 56) @ turn.T + (150, 140) + jitter).astype(np.float32)
    image = _image()
    mine = align_face(image, BOX, points, 112).transpose(1, 2, 0)
    theirs = cv2.warpAffine(np.asarray(image), _umeyama(points), (112, 112), flags=cv2.INTER_LINEAR)
    assert np.abs(mine - theirs).max() <= 3  # OpenCV's interpolation has 5 bits


@pytest.mark.parametrize("times", [2.2, 3.5, 5.9])
def test_a_large_face_is_averaged(times: float) -> None:
    """Bilinear interpolation alone would take four of its pixels and skip the others."""
    points = (times * (TEMPLATE + 20.5) - 0.5).astype(np.float32)
    side = int(150 * times)
    noise = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    assert align_face(Image.fromarray(noise), BOX, points, 112).std() < noise.std() / int(times)
    small = _image(150, 150)
    large = small.resize((side, side), Image.Resampling.BICUBIC)
    crop = align_face(small, BOX, (TEMPLATE + 20).astype(np.float32), 112)
    assert np.abs(crop - align_face(large, BOX, points, 112)).max() <= 5


def test_what_lies_outside_the_image_is_black() -> None:
    """Also if nothing of the face is inside."""
    white = Image.new("RGB", (100, 100), "white")
    crop = align_face(white, BOX, (TEMPLATE - 56).astype(np.float32), 112)
    assert crop[:, 0, 0].tolist() == [0, 0, 0] and crop[:, -1, -1].tolist() == [255, 255, 255]
    assert not align_face(white, BOX, (TEMPLATE + 1000).astype(np.float32), 112).any()


def test_landmarks_in_one_place_leave_the_box() -> None:
    """No transform follows from them, and an image never fails because of them."""
    image = Image.new("RGB", (200, 200))
    ImageDraw.Draw(image).rectangle((30, 30, 129, 149), fill="white")
    crop = align_face(image, BOX, np.full((5, 2), 80, np.float32), 112)
    assert crop.shape == (3, 112, 112)
    assert crop[0, 56, 56] == 255 and crop[0, 56, 0] == 0  # a square around the box, which is higher than wide


def test_channels_and_scale_are_the_embedders() -> None:
    """(x - mean) / scale, by channel in the embedder's order."""
    image, points = _image(), (TEMPLATE + 60).astype(np.float32)
    contract = replace(CONTRACT, model="own-x", alignment="five-points", crop_px=112)
    plain = cut_crop(image, BOX, points, contract)
    assert np.array_equal(plain, align_face(image, BOX, points, 112))
    other = replace(contract, channels="bgr", pixel_mean=(1.0, 2.0, 3.0), pixel_scale=(2.0, 4.0, 8.0))
    expected = (plain[::-1] - np.array([1, 2, 3])[:, None, None]) / np.array([2, 4, 8])[:, None, None]
    assert np.allclose(cut_crop(image, BOX, points, other), expected)
    assert cut_crop(image, BOX, points, other).dtype == np.float32
