"""Which faces of a large report get a picture."""

import numpy as np
import numpy.typing as npt

from shared.report.face_order import FaceOrder

AT_FIRST = 24
"""Faces of a group that are shown before the reader asks for more."""


def choose_pictured(order: FaceOrder, most: int, available: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """The places of at most `most` faces, ascending; `available` [m] says which faces can have a picture.

    Half of them are those shown at first of the largest groups. The other half are the first face of each further
    group, then the second of each, and so on; faces alone come last.
    """
    group, rank = order.ranks()
    alone = np.arange(len(order)) >= order.grouped
    shown = np.flatnonzero(available & ~alone & (rank < AT_FIRST))[: most // 2]
    left = available.copy()
    left[shown] = False
    others = np.flatnonzero(left)
    others = others[np.lexsort((group[others], rank[others], alone[others]))][: max(0, most - len(shown))]
    return np.sort(np.concatenate([shown, others]))
