"""MTCNN's cascade, facenet-pytorch's own to the letter, on an integral image.

Follows `facenet_pytorch.models.utils.detect_face` (2.5.3), quirks included: boxes of the first stage are floored, the
crops start one pixel early, and the last suppression divides by the smaller area.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32, Int
from shared.domain.detector_parameters import MIN_FACE_PX, PYRAMID_FACTOR, THRESHOLDS
from worker.vision.canvas import CELL_PX, STRIDE_PX, ProposalNetwork, find_cells
from worker.vision.integral_image import IntegralImage

_CHUNK = 64  # boxes that suppression looks at together


class Detector(ProposalNetwork, Protocol):
    """The three networks. Inputs are float32 in 0..255, planar; the first value of each output is the face's logit."""

    def rnet(self, crops: Float32) -> Float32:
        """[n, 3, 24, 24] -> [n, 5]."""

    def onet(self, crops: Float32) -> Float32:
        """[n, 3, 48, 48] -> [n, 15]: as R-net, then the landmarks' five x and five y."""


@dataclass(frozen=True)
class Faces:
    """What was found in one image, in order of falling probability."""

    boxes: Float32  # [n, 4] x1, y1, x2, y2 in pixels; may reach over the image's edge
    probabilities: Float32  # [n]

    def __len__(self) -> int:
        return len(self.boxes)


NO_FACES = Faces(np.empty((0, 4), np.float32), np.empty(0, np.float32))


def detect_faces(image: IntegralImage, networks: Detector) -> Faces:
    """All faces that facenet-pytorch's MTCNN finds in the image with its default settings."""
    scales = pyramid_scales(image.height, image.width)
    return refine(image, propose(image, scales, networks), networks) if scales else NO_FACES


def pyramid_scales(height: int, width: int) -> list[float]:
    """Scales of the pyramid's levels, finest first; empty when the image is smaller than the smallest face."""
    scale = CELL_PX / MIN_FACE_PX
    shortest = min(height, width) * scale
    scales = []
    while shortest >= CELL_PX:
        scales.append(scale)
        scale *= PYRAMID_FACTOR
        shortest *= PYRAMID_FACTOR
    return scales


def level_size(image: IntegralImage, scale: float) -> tuple[int, int]:
    """Height and width of the pyramid's level at this scale."""
    return int(image.height * scale + 1), int(image.width * scale + 1)


def propose(image: IntegralImage, scales: list[float], networks: Detector) -> Float32:
    """P-net over the levels of these scales: float32 [n, 9] x1, y1, x2, y2, probability and four offsets, in order of
    the levels and suppressed within each.
    """
    levels = image.resize([level_size(image, scale) for scale in scales])
    threshold = math.log(THRESHOLDS[0] / (1 - THRESHOLDS[0]))
    proposals = []
    for scale, (cells, values) in zip(scales, find_cells(levels, networks, threshold), strict=True):
        corner = cells[:, ::-1].astype(np.float32) * STRIDE_PX
        boxes = np.floor(np.concatenate([corner + 1, corner + CELL_PX], axis=1) / np.float32(scale))
        candidates = np.concatenate([boxes, _sigmoid(values[:, :1]), values[:, 1:]], axis=1)
        proposals.append(candidates[suppress(boxes, candidates[:, 4], 0.5)])
    return np.concatenate(proposals)


def refine(image: IntegralImage, proposals: Float32, networks: Detector) -> Faces:
    """R- and O-net over P-net's proposals [n, 9] of all levels."""
    kept = proposals[suppress(proposals[:, :4], proposals[:, 4], 0.7)]
    size = np.tile(kept[:, 2:4] - kept[:, :2], 2)
    boxes, inside = _clip_boxes(_square(kept[:, :4] + kept[:, 5:9] * size), image)
    if len(boxes) == 0:
        return NO_FACES

    output = networks.rnet(image.crop(inside, 24))
    probability = _sigmoid(output[:, 0])
    passed = probability > THRESHOLDS[1]
    boxes, probability, output = boxes[passed], probability[passed], output[passed]
    picked = suppress(boxes, probability, 0.7)
    boxes, inside = _clip_boxes(_square(_regress(boxes[picked], output[picked, 1:5])), image)
    if len(boxes) == 0:
        return NO_FACES

    output = networks.onet(image.crop(inside, 48))
    probability = _sigmoid(output[:, 0])
    passed = probability > THRESHOLDS[2]
    boxes, probability = _regress(boxes[passed], output[passed, 1:5]), probability[passed]
    picked = _suppress_by_smaller(boxes, probability, 0.7)
    return Faces(boxes[picked], probability[picked])


def suppress(boxes: Float32, scores: Float32, threshold: float) -> Int:
    """Non-maximum suppression by intersection over union (torchvision's): kept indices in order of falling score."""
    return _suppress(boxes, scores, np.argsort(-scores, kind="stable"), threshold, pixel=0, by_smaller=False)


def _suppress_by_smaller(boxes: Float32, scores: Float32, threshold: float) -> Int:
    # facenet-pytorch's numpy version: sides count one pixel more, ties go to the later box.
    return _suppress(boxes, scores, np.argsort(scores)[::-1], threshold, pixel=1, by_smaller=True)


def _suppress(boxes: Float32, scores: Float32, order: Int, threshold: float, *, pixel: int, by_smaller: bool) -> Int:
    sides = np.ascontiguousarray(boxes[order].T)
    areas = (sides[2] - sides[0] + pixel) * (sides[3] - sides[1] + pixel)

    def overlaps(these: slice, those: Int | slice) -> npt.NDArray[np.bool_]:
        ax1, ay1, ax2, ay2 = sides[:, these, None]
        bx1, by1, bx2, by2 = sides[:, None, those]
        width = np.minimum(ax2, bx2) - np.maximum(ax1, bx1) + pixel
        height = np.minimum(ay2, by2) - np.maximum(ay1, by1) + pixel
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        a, b = areas[these, None], areas[None, those]
        total = np.minimum(a, b) if by_smaller else a + b - shared
        clash: npt.NDArray[np.bool_] = np.greater(shared, threshold * total)
        return clash

    # Greedy, as one loop over all boxes would be, but in chunks: few large array operations instead of many small ones.
    kept: list[int] = []
    for first in range(0, len(order), _CHUNK):
        chunk = slice(first, min(len(order), first + _CHUNK))
        alive = np.logical_not(overlaps(chunk, np.array(kept, np.int64)).any(axis=1, keepdims=True))[:, 0]
        among = overlaps(chunk, chunk)
        for k in range(len(alive)):
            if alive[k]:
                kept.append(first + k)
                alive[k + 1 :] &= ~among[k, k + 1 :]
    return order[np.array(kept, np.int64)]


def _sigmoid(logit: Float32) -> Float32:
    return np.float32(1) / (np.float32(1) + np.exp(-logit))


def _square(boxes: Float32) -> Float32:
    size = boxes[:, 2:] - boxes[:, :2]
    side = size.max(axis=1, keepdims=True)
    corner = boxes[:, :2] + size * np.float32(0.5) - side * np.float32(0.5)
    return np.concatenate([corner, corner + side], axis=1)


def _regress(boxes: Float32, offsets: Float32) -> Float32:
    size = np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)
    return boxes + offsets * size


def _clip_boxes(boxes: Float32, image: IntegralImage) -> tuple[Float32, Int]:
    """The boxes that have pixels inside the image, and their whole-pixel insides."""
    whole = boxes.astype(np.int64)  # truncates towards zero, as facenet-pytorch does
    inside = np.concatenate(
        [np.maximum(whole[:, :2], 1) - 1, np.minimum(whole[:, 2:], np.array([image.width, image.height]))], axis=1
    )
    valid = (inside[:, 2:] > inside[:, :2]).all(axis=1)
    return boxes[valid], inside[valid]
