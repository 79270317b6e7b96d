"""Selects the faces of an image, and crops them."""

from typing import Literal, assert_never

import numpy as np
from PIL import Image

from shared.domain.arrays import Float32, Int
from shared.domain.contract import CROP_PX, FacePolicy
from worker.vision.mtcnn_cascade import Faces

SinglePolicy = Literal["largest", "center"]
"""The policies that choose one face."""


def choose_faces(faces: Faces, policy: FacePolicy, width: int, height: int) -> Int:
    """Indices of the wanted faces, best first."""
    if len(faces) == 0 or policy == "all":
        return np.arange(len(faces))
    return np.array([np.argmax(scores(faces.boxes, policy, width, height))])


def scores(boxes: Float32, policy: SinglePolicy, width: int, height: int) -> Float32:
    """What the chosen face has most of: float32 [n], at most the area of the box in square pixels.

    `largest` counts only the area inside the image. facenet-pytorch also counts the area outside, and so selects
    partial faces at the border (accuracy on LFW 0.954 against 0.980). `center` is facenet-pytorch's
    `center_weighted_size`.
    """
    match policy:
        case "largest":
            return visible_areas(boxes, width, height)
        case "center":
            size = boxes[:, 2:] - boxes[:, :2]
            offset = (boxes[:, :2] + boxes[:, 2:]) / 2 - np.array([width, height], np.float32) / 2
            weighted: Float32 = size.prod(axis=1) - 2 * (offset**2).sum(axis=1)
            return weighted
        case _:
            assert_never(policy)


def visible_areas(boxes: Float32, width: int, height: int) -> Float32:
    """The area [n] of boxes [n, 4] inside an image of this size, in square pixels."""
    limit = np.array([width, height], np.float32)
    sides = np.clip(boxes[:, 2:], 0, limit) - np.clip(boxes[:, :2], 0, limit)
    areas: Float32 = sides.prod(axis=1)
    return areas


def crop_face(image: Image.Image, box: Float32, margin_px: int, size: int = CROP_PX) -> Float32:
    """The face with its margin, resized as facenet-pytorch does: float32 [3, size, size] in 0..255.

    `box` is x1, y1, x2, y2 in pixels. `margin_px` is counted in the crop. Edges are truncated to whole pixels and
    clipped to the image.
    """
    x1, y1, x2, y2 = (float(edge) for edge in box)
    margin_x = margin_px * (x2 - x1) / (size - margin_px) / 2
    margin_y = margin_px * (y2 - y1) / (size - margin_px) / 2
    left, top = int(max(x1 - margin_x, 0)), int(max(y1 - margin_y, 0))
    right, bottom = int(min(x2 + margin_x, image.width)), int(min(y2 + margin_y, image.height))
    # A clipped face at the border may be thinner than a pixel.
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    face = image.crop((left, top, right, bottom)).resize((size, size), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(face, np.float32).transpose(2, 0, 1))
