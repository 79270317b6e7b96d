"""The expected number of pairs of different people within a threshold, for a number of faces."""

import math
from dataclasses import dataclass
from itertools import pairwise

from shared.analysis.calibration import Calibration


@dataclass(frozen=True)
class FalsePairs:
    """Pairs of faces of different people within a distance."""

    pairs: int
    """All pairs of the faces: n (n - 1) / 2."""
    expected: float | None
    """None outside the distances that were measured: then only one of the bounds is known."""
    low: float
    high: float
    """95 % confidence interval of the expected number; 0 and infinity where nothing is known."""


def expect_false_pairs(faces: int, threshold: float, calibration: Calibration) -> FalsePairs:
    """n (n - 1) / 2 pairs times the false accept rate at the threshold, as if each face were another person's.

    So it is an upper estimate: pairs of one person cannot be false. Between two measured distances the logarithm of
    the rate is interpolated linearly.
    """
    pairs = faces * (faces - 1) // 2
    measured = calibration.false_accepts
    first, last = measured[0], measured[-1]
    if threshold < first.distance:
        return FalsePairs(pairs, None, 0.0, pairs * first.high)
    if threshold > last.distance:
        return FalsePairs(pairs, None, pairs * last.low, math.inf)
    below, above = next((a, b) for a, b in pairwise(measured) if threshold <= b.distance)
    share = (threshold - below.distance) / (above.distance - below.distance)
    rates = [
        _between(a, b, share) for a, b in ((below.rate, above.rate), (below.low, above.low), (below.high, above.high))
    ]
    return FalsePairs(pairs, *(pairs * rate for rate in rates))


def _between(a: float, b: float, share: float) -> float:
    if a == 0:  # no pair was found in some draws; a line to it has no logarithm
        return share * b
    return math.exp((1 - share) * math.log(a) + share * math.log(b))
