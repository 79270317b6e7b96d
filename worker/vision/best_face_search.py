"""The face that a policy chooses, without the finest levels: from the coarsest level up, until nothing can win.

Nearly all of the cascade's work is in the finest levels, which find the smallest faces. The search for one face begins
at the coarse end and stops as soon as it has found a face that the finer levels cannot surpass. The levels that are
searched are those of the whole cascade, on all pixels, so the box is the one that the whole cascade gives. Only a
smaller face inside that box, in a level that is not searched, could suppress it there.
"""

import math

import numpy as np

from worker.vision.canvas import CELL_PX
from worker.vision.face_selection import SinglePolicy, scores
from worker.vision.integral_image import IntegralImage
from worker.vision.mtcnn_cascade import NO_FACES, Detector, Faces, level_size, propose, pyramid_scales, refine

# A face ends the search when its side is this many times the nominal face of the next finer level. (Measured on 1,660
# photographs against the whole cascade: the same box on all of them, for `largest` and for `center`.)
_SAFETY = 2.9
# The first look takes as many levels as have this many pixels. (Measured: 4,000 are too few to find most faces of LFW,
# 25,000 take a fifth longer on portraits.)
_FIRST_LOOK_PIXELS = 12_000


def detect_best(image: IntegralImage, policy: SinglePolicy, networks: Detector) -> Faces:
    """Faces of an image; the one that `policy` chooses among them is the one it chooses among all faces."""
    scales = pyramid_scales(image.height, image.width)
    faces, proposals = NO_FACES, np.empty((0, 9), np.float32)
    finer = len(scales)  # levels that have not been searched
    wanted = _first_look(image, scales)
    while wanted < finer:
        proposals = np.concatenate([propose(image, scales[wanted:finer], networks), proposals])
        faces = refine(image, proposals, networks)
        finer = wanted
        wanted = _finest_level(faces, scales, policy, image) if len(faces) else max(0, finer - 1)
    return faces


def _first_look(image: IntegralImage, scales: list[float]) -> int:
    """The finest level of the first look."""
    level, pixels = len(scales), 0
    while level > 0:
        pixels += math.prod(level_size(image, scales[level - 1]))
        if pixels > _FIRST_LOOK_PIXELS and level < len(scales):
            break
        level -= 1
    return level


def _finest_level(faces: Faces, scales: list[float], policy: SinglePolicy, image: IntegralImage) -> int:
    """The finest level that might still change which face is best."""
    worth = scores(faces.boxes, policy, image.width, image.height)
    best = int(worth.argmax())
    if faces.tied[best]:
        return 0
    side = math.sqrt(max(0.0, float(worth[best])))
    return sum(side >= _SAFETY * CELL_PX / scale for scale in scales)
