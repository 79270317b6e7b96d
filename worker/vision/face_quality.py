"""What an embedding of a face can be worth: size, sharpness, pose, and how much of the face the image shows.

All of it follows from the box, the five landmarks and the pixels, the same for every embedder.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from shared.domain.arrays import Float32, UInt8
from worker.vision.face_crops import Similarity, align_gray, to_source

_CROP_PX = 112
_FACE_X, _FACE_Y, _FACE_PX = 20, 32, 72
"""The square of the aligned crop from above the eyes to below the mouth: neither hair nor background."""
_NOISE = 5**2
"""Variance of gray values that is no contrast of a face."""
_EYES_PX = 35.2  # between the eyes in the aligned crop


class Quality(NamedTuple):
    """The measures of one face, in the order of `shared.results.schema.QUALITY_COLUMNS`."""

    size_px: float
    """The smaller side of the box."""
    sharpness: float
    """Share of fine detail in the contrast between eyes and mouth, in the aligned gray crop of 112 pixels."""
    yaw: float
    """How far the nose is to the right of the middle between eyes and corners of the mouth, in distances of the eyes;
    0 for a face seen from the front.
    """
    roll_deg: float
    """By how much the face is turned clockwise in the image, -180 to 180."""
    inside: float
    """Share of the box inside the image, 0 to 1."""


def measure_quality(image: Image.Image, box: Float32, points: Float32) -> Quality:
    """The quality of a face of the upright RGB image. `box` [4] is x1, y1, x2, y2 and `points` [5, 2] are the
    landmarks, in pixels.
    """
    transform = to_source(box, points, _CROP_PX)
    return Quality(
        size_px=_size_px(box),
        sharpness=sharpness(align_gray(image, transform, _FACE_X, _FACE_Y, _FACE_PX)),
        yaw=_yaw(points, transform),
        # Rounded, because the last bit of an arctangent depends on the processor.
        roll_deg=round(math.degrees(math.atan2(transform.b, transform.a)), 2),
        inside=_inside(box, image.width, image.height),
    )


def sharpness(gray: UInt8) -> float:
    """How much of the contrast of an image [h, w] is in fine detail: the variance of the Laplacian (4-neighborhood) of
    the smoothed image (3 x 3 binomial filter, against noise) over the variance of the gray values, in thousandths.

    In whole numbers up to the last division: the same bits everywhere.
    """
    pixels = gray.astype(np.int32)
    rows = pixels[:-2] + 2 * pixels[1:-1] + pixels[2:]
    smooth = rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]  # 16 times as large
    laplacian = 4 * smooth[1:-1, 1:-1] - smooth[:-2, 1:-1] - smooth[2:, 1:-1] - smooth[1:-1, :-2] - smooth[1:-1, 2:]
    (detail, over), (contrast, of) = _variance(laplacian), _variance(pixels)
    return 1000 * detail * of / (over * 16**2 * (contrast + _NOISE * of))


def _variance(values: npt.NDArray[np.int32]) -> tuple[int, int]:
    """As a fraction."""
    wide, count = values.astype(np.int64), values.size
    return count * int(np.vdot(wide, wide)) - int(wide.sum()) ** 2, count**2


def _size_px(box: Float32) -> float:
    x1, y1, x2, y2 = (float(edge) for edge in box)
    return max(0.0, min(x2 - x1, y2 - y1))


def _inside(box: Float32, width: int, height: int) -> float:
    x1, y1, x2, y2 = (float(edge) for edge in box)
    area = max(0.0, x2 - x1) * max(0.0, y2 - y1)
    seen_x, seen_y = min(x2, width) - max(x1, 0.0), min(y2, height) - max(y1, 0.0)
    return max(0.0, seen_x) * max(0.0, seen_y) / area if area else 0.0


def _yaw(points: Float32, transform: Similarity) -> float:
    """From the front the nose is on the middle line of the other four points, whatever the roll; turned aside it moves
    off, by the sine of the angle times its height over the face.
    """
    left_eye, right_eye, nose, mouth_left, mouth_right = (complex(float(x), float(y)) for x, y in points)
    middle = (left_eye + right_eye + mouth_left + mouth_right) / 4
    return ((nose - middle) / complex(transform.a, transform.b)).real / _EYES_PX
