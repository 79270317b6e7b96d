"""MTCNN's cascade as facenet-pytorch runs it, on an integral image.

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
from worker.vision.suppression import by_falling_score, suppress, suppress_by_smaller, suppress_level


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
    tied: npt.NDArray[np.bool_]
    """[n]: whether another candidate had the same probability. Which of the two is kept depends on all candidates,
    because facenet-pytorch sorts them by an algorithm that is not stable.
    """
    landmarks: Float32
    """[n, 5, 2]: x and y in pixels of the left eye, the right eye, the nose and the corners of the mouth; left and
    right as one sees the image.
    """

    def __len__(self) -> int:
        return len(self.boxes)


NO_FACES = Faces(
    np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, bool), np.empty((0, 5, 2), np.float32)
)


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
        boxes = boxes_of_cells(cells, scale)
        candidates = np.concatenate([boxes, _sigmoid(values[:, :1]), values[:, 1:]], axis=1)
        proposals.append(candidates[suppress_level(cells, boxes, candidates[:, 4])])
    return np.concatenate(proposals)


def boxes_of_cells(cells: Int, scale: float) -> Float32:
    """What P-net's cells [n, 2], row and column, see of the image: float32 [n, 4] in whole pixels."""
    corner = cells[:, ::-1].astype(np.float32) * STRIDE_PX
    boxes: Float32 = np.floor(np.concatenate([corner + 1, corner + CELL_PX], axis=1) / np.float32(scale))
    return boxes


def refine(image: IntegralImage, proposals: Float32, networks: Detector) -> Faces:
    """R- and O-net over P-net's proposals [n, 9] of all levels."""
    # facenet-pytorch suppresses above 0.7 here, which leaves all: 0.5 was the limit within each level, and boxes of two
    # levels share less than 0.58 of their union, because the next level's have at most that share of the area.
    kept = proposals[by_falling_score(proposals[:, 4])]
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
    boxes, output, probability = boxes[passed], output[passed], probability[passed]
    landmarks = _landmarks(boxes, output[:, 5:])
    boxes = _regress(boxes, output[:, 1:5])
    picked = suppress_by_smaller(boxes, probability, 0.7)
    tied = (probability[:, None] == probability[picked]).sum(axis=0) > 1
    return Faces(boxes[picked], probability[picked], tied, landmarks[picked])


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


def _landmarks(boxes: Float32, places: Float32) -> Float32:
    """The points [n, 5, 2] at these places [n, 10] in O-net's input, five x and five y in shares of its boxes."""
    size = boxes[:, 2:] - boxes[:, :2] + 1
    points: Float32 = places.reshape(-1, 2, 5).transpose(0, 2, 1) * size[:, None] + boxes[:, None, :2] - 1
    return points


def _clip_boxes(boxes: Float32, image: IntegralImage) -> tuple[Float32, Int]:
    """The boxes that have pixels inside the image, and their whole-pixel insides."""
    whole = boxes.astype(np.int64)  # truncates towards zero, as facenet-pytorch does
    inside = np.concatenate(
        [np.maximum(whole[:, :2], 1) - 1, np.minimum(whole[:, 2:], np.array([image.width, image.height]))], axis=1
    )
    valid = (inside[:, 2:] > inside[:, :2]).all(axis=1)
    return boxes[valid], inside[valid]
