"""How many faces of other people a group is expected to hold."""

import math
from dataclasses import dataclass

from shared.analysis.calibration import Calibration
from shared.analysis.false_pairs import expect_false_pairs


@dataclass(frozen=True)
class Strangers:
    """The expected number of faces of other people in a group, for each face outside of it.

    A group of k among n faces: (n - k) times the false accept rate at the threshold, as if all faces outside were of
    other people and joined the group where they are within the threshold of one of its faces.
    """

    words: str
    """`about`, or outside of the distances that were measured `at most` or `more than`."""
    rate: float
    low: float
    high: float
    """95 % confidence interval of the rate; 0 and infinity where nothing is known."""
    faces: int
    """All faces that are grouped (n)."""

    def expected(self, size: int) -> float:
        """The expected number in a group of so many faces."""
        return (self.faces - size) * self.rate


def expect_strangers(faces: int, threshold: float, calibration: Calibration) -> Strangers:
    """For groups among so many faces, at this threshold."""
    pair = expect_false_pairs(2, threshold, calibration)
    if pair.expected is not None:
        return Strangers("about", pair.expected, pair.low, pair.high, faces)
    if math.isfinite(pair.high):
        return Strangers("at most", pair.high, pair.low, pair.high, faces)
    return Strangers("more than", pair.low, pair.low, pair.high, faces)
