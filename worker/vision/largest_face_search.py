"""The largest face without the finest levels: MTCNN's pyramid from the coarsest level up, until nothing can be larger.

Nearly all of the cascade's work is in the finest levels, which find the smallest faces. Whoever wants the largest face
only can begin at the coarse end and stop as soon as a face is found that those levels could not surpass. The coarse
levels are made from a reduced image, which saves most of the integral image too.
"""

import numpy as np
from PIL import Image

from shared.domain.arrays import Float32, UInt32
from shared.domain.contract import MIN_FACE_PX
from worker.vision.face_selection import visible_areas
from worker.vision.integral_image import integral_image
from worker.vision.mtcnn_cascade import CELL_PX, NO_FACES, Detector, Faces, propose, pyramid_scales, refine

# A face ends the search when its side is this many times the nominal face of the next finer level. (Measured on 1,660
# photographs against the whole pyramid: the box overlaps by less than 0.9 in 2. In an earlier measurement it was 17 at
# 2.0, and 4 at 2.9 and 4.0 alike.)
_SAFETY = 2.9
# The image is first reduced to about this shortest side. (In that earlier measurement, 9 boxes instead of 4 at 240.)
_FIRST_SIDE_PX = 480


def detect_largest(image: Image.Image, networks: Detector) -> Faces:
    """Faces of an RGB image, the one with the largest visible area surely among them; boxes in its pixels."""
    scales = pyramid_scales(image.height, image.width)
    pyramid = _Pyramid(image, networks)
    faces = NO_FACES
    level = len(scales) - 1
    while level >= 0:
        # R- and O-net run once for all levels that must be looked at, not once a level.
        last = _last_level(faces, scales, image) if len(faces) else level
        if last > level:
            break
        while level >= last:
            pyramid.propose(scales[level])
            level -= 1
        faces = pyramid.refine()
    return faces


def _last_level(faces: Faces, scales: list[float], image: Image.Image) -> int:
    """The finest level that might still hold a larger face than those found."""
    side = float(np.sqrt(visible_areas(faces.boxes, image.width, image.height).max()))
    finer = [level for level, scale in enumerate(scales) if side >= _SAFETY * CELL_PX / scale]
    return finer[-1] + 1 if finer else 0


class _Pyramid:
    """The proposals of the levels so far, coarsest first, on an image that is reduced as far as the level allows."""

    def __init__(self, image: Image.Image, networks: Detector) -> None:
        self._image, self._networks = image, networks
        self._reduction = 0
        self._sums: UInt32 = np.empty((0, 0, 0), np.uint32)
        self._proposals: Float32 = np.empty((0, 9), np.float32)

    def propose(self, scale: float) -> None:
        """Adds one level's proposals."""
        self._reduce_for(scale)
        found = propose(self._sums, scale * self._reduction, self._networks)
        found[:, :4] *= self._reduction
        self._proposals = np.concatenate([found, self._proposals])

    def refine(self) -> Faces:
        """R- and O-net over all proposals so far."""
        scaled = self._proposals.copy()
        scaled[:, :4] /= self._reduction
        faces = refine(self._sums, scaled, self._networks)
        return Faces(faces.boxes * np.float32(self._reduction), faces.probabilities)

    def _reduce_for(self, scale: float) -> None:
        # Never more than the finest level of the whole pyramid would be enlarged from.
        most = min(min(self._image.size) // _FIRST_SIDE_PX, int(CELL_PX / MIN_FACE_PX / scale))
        reduction = 1 << (max(1, most).bit_length() - 1)
        if self._reduction == 0 or reduction < self._reduction:
            self._reduction = reduction
            reduced = self._image if reduction == 1 else self._image.reduce(reduction)
            self._sums = integral_image(np.asarray(reduced))
