"""Non-maximum suppression: of boxes that overlap too much, the one with the highest score is kept."""

import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32, Int

_LEVEL_THRESHOLD = 0.5
_CHUNK = 64  # boxes that are looked at together
_REACH = 2
"""Two cells of P-net that are further apart than this many rows or columns share less than half of their union: their
boxes are 5.5 steps wide, and rounding moves an edge by less than a pixel, which is at most 0.3 steps.
"""
_OFFSETS = np.array(
    [(0, right) for right in range(1, _REACH + 1)]
    + [(down, right) for down in range(1, _REACH + 1) for right in range(-_REACH, _REACH + 1)]
)
"""From a cell to those after it within reach, row by row: [offsets, 2]."""


def by_falling_score(scores: Float32) -> Int:
    """Indices of the scores [n], the highest first; of equal ones, the earlier first."""
    return np.argsort(-scores, kind="stable")


def suppress_level(cells: Int, boxes: Float32, scores: Float32) -> Int:
    """What `suppress` with 0.5 gives for the boxes [n, 4] of one pyramid level; `cells` [n, 2] are P-net's, row by row.

    Looks only at pairs of neighboring cells: a crowd has tens of thousands of boxes.
    """
    order = by_falling_score(scores)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    one, other = _pairs_within_reach(cells)
    clash = _overlaps(boxes[one].T, boxes[other].T, _LEVEL_THRESHOLD, pixel=0, by_smaller=False)
    one, other = one[clash], other[clash]
    swap = rank[one] > rank[other]
    better, worse = np.where(swap, other, one), np.where(swap, one, other)
    # A box without a better neighbor is kept, and its neighbors are not. Repeated, this is the loop from the highest
    # score to the lowest.
    kept, undecided = np.zeros(len(order), bool), np.ones(len(order), bool)
    while undecided.any():
        best = undecided.copy()
        best[worse] = False
        kept |= best
        undecided &= ~best
        undecided[worse[best[better]]] = False
        both = undecided[better] & undecided[worse]
        better, worse = better[both], worse[both]
    return order[kept[order]]


def _pairs_within_reach(cells: Int) -> tuple[Int, Int]:
    row_length = int(cells[:, 1].max(initial=0)) + 1 + _REACH  # no offset leads into another row's cells
    keys = cells[:, 0] * row_length + cells[:, 1]
    wanted = keys + (_OFFSETS @ np.array([row_length, 1]))[:, None]
    place = np.searchsorted(keys, wanted)
    offset, one = np.nonzero(np.append(keys, -1)[place] == wanted)
    return one, place[offset, one]


def suppress(boxes: Float32, scores: Float32, threshold: float) -> Int:
    """By intersection over union (torchvision's): kept indices of boxes [n, 4] in order of falling score."""
    return _suppress(boxes, by_falling_score(scores), threshold, pixel=0, by_smaller=False)


def suppress_by_smaller(boxes: Float32, scores: Float32, threshold: float) -> Int:
    """By intersection over the smaller area, as facenet-pytorch's numpy version does: sides count one pixel more, and
    of equal scores the later box comes first.
    """
    return _suppress(boxes, np.argsort(scores)[::-1], threshold, pixel=1, by_smaller=True)


def _suppress(boxes: Float32, order: Int, threshold: float, *, pixel: int, by_smaller: bool) -> Int:
    sides = np.ascontiguousarray(boxes[order].T)

    def overlaps(these: slice, those: Int | slice) -> npt.NDArray[np.bool_]:
        return _overlaps(sides[:, these, None], sides[:, None, those], threshold, pixel=pixel, by_smaller=by_smaller)

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


def _overlaps(a: Float32, b: Float32, threshold: float, *, pixel: int, by_smaller: bool) -> npt.NDArray[np.bool_]:
    """Whether boxes share more than `threshold` of their union, or of the smaller area. Sides come first in `a` and
    `b`, [4, ...], which are broadcast against each other.
    """
    ax1, ay1, ax2, ay2 = a
    bx1, by1, bx2, by2 = b
    width = np.minimum(ax2, bx2) - np.maximum(ax1, bx1) + pixel
    height = np.minimum(ay2, by2) - np.maximum(ay1, by1) + pixel
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    a_area = (ax2 - ax1 + pixel) * (ay2 - ay1 + pixel)
    b_area = (bx2 - bx1 + pixel) * (by2 - by1 + pixel)
    total = np.minimum(a_area, b_area) if by_smaller else a_area + b_area - shared
    clash: npt.NDArray[np.bool_] = np.greater(shared, threshold * total)
    return clash
