"""Suppression of the boxes of one pyramid level looks at neighbors only, and suppresses what a loop over all would."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.arrays import Float32, Int
from worker.vision.canvas import CELL_PX
from worker.vision.mtcnn_cascade import boxes_of_cells, pyramid_scales
from worker.vision.suppression import by_falling_score, suppress, suppress_level

SIZE = st.tuples(st.integers(20, 6000), st.integers(20, 6000))
SEEDS = st.integers(0, 2**32 - 1)


def _loop(boxes: Float32, scores: Float32, threshold: float) -> list[int]:
    """Suppression as its definition says, box by box."""
    kept: list[int] = []
    for k in by_falling_score(scores):
        if all(_union_share(boxes[k], boxes[other]) <= threshold for other in kept):
            kept.append(int(k))
    return kept


def _union_share(a: Float32, b: Float32) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, float(width)) * max(0.0, float(height))
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in (a, b)]
    return shared / (sum(areas) - shared)


def _random_cells(random: np.random.Generator, height: int, width: int, scale: float) -> Int:
    """Cells in a corner of the level of an image, half of them occupied, row by row."""
    rows, cols = (max(1, (int(side * scale + 1) - CELL_PX) // 2 + 1) for side in (height, width))
    corner = random.random((min(rows, 12), min(cols, 12))) < 0.5
    return np.argwhere(corner) + np.array([rows, cols]) - corner.shape


@settings(max_examples=60, deadline=None)
@given(size=SIZE, seed=SEEDS, few_scores=st.booleans())
def test_one_level(size: tuple[int, int], seed: int, few_scores: bool) -> None:
    """At every level of a pyramid, far from the corner, with equal scores and without; also where there is no cell."""
    random = np.random.default_rng(seed)
    for scale in pyramid_scales(*size):
        cells = _random_cells(random, *size, scale)
        boxes = boxes_of_cells(cells, scale)
        scores = random.random(len(cells)).astype(np.float32)
        if few_scores:
            scores = np.round(scores * 3)
        found = suppress_level(cells, boxes, scores).tolist()
        assert found == suppress(boxes, scores, 0.5).tolist() == _loop(boxes, scores, 0.5)


@settings(max_examples=60, deadline=None)
@given(size=SIZE, seed=SEEDS)
def test_boxes_of_two_levels_never_suppress_each_other(size: tuple[int, int], seed: int) -> None:
    """The cascade leaves out facenet-pytorch's suppression above 0.7 over all levels: nothing is suppressed there."""
    random = np.random.default_rng(seed)
    kept = []
    for scale in pyramid_scales(*size):
        cells = _random_cells(random, *size, scale)
        boxes = boxes_of_cells(cells, scale)
        kept.append(boxes[suppress_level(cells, boxes, random.random(len(cells)).astype(np.float32))])
    together = np.concatenate([np.empty((0, 4), np.float32), *kept])
    assert len(suppress(together, random.random(len(together)).astype(np.float32), 0.7)) == len(together)
