"""Below which distance two faces count as one person, how often that is wrong, and for which contracts that is known.

Measured by `python benchmarks/all_pairs.py DATA/lfw-view1/images --constants` on LFW View 1's test set: 1,549 images of
963 people, all 1,197,943 pairs of different people and all 983 pairs of one. docs/accuracy.md has the tables.
"""

from dataclasses import dataclass
from typing import Any

from shared.domain.contract import KNOWN_WEIGHTS, Contract

SAME_PERSON = 0.95
"""Euclidean distance. Larger ones group more of a person's faces, but mix people: docs/accuracy.md compares them."""

FALSE_PAIRS_MEASURED = 1_197_943
"""All pairs of different people."""

TRUE_ACCEPTS = 0.881
"""Share of the pairs of one person that are within `SAME_PERSON` (95 % confidence: 0.851 to 0.910)."""

NEAR_DUPLICATE = 0.25
"""Euclidean distance. On the same images no two different photographs of one person came closer than 0.28."""


@dataclass(frozen=True)
class FalseAccepts:
    """How many of the pairs of different people are within a distance."""

    distance: float
    rate: float
    """Share of the pairs, 0 to 1."""
    low: float
    high: float
    """95 % confidence interval of the share, from drawing people with replacement."""


FALSE_ACCEPTS = (
    FalseAccepts(0.80, 3.34e-06, 0, 1.28e-05),
    FalseAccepts(0.85, 2.75e-05, 9.33e-06, 5.86e-05),
    FalseAccepts(0.90, 7.51e-05, 3.81e-05, 0.000127),
    FalseAccepts(0.95, 0.000277, 0.000188, 0.000391),
    FalseAccepts(1.00, 0.00094, 0.000724, 0.00119),
    FalseAccepts(1.05, 0.00281, 0.00232, 0.00339),
    FalseAccepts(1.10, 0.00775, 0.00665, 0.00896),
    FalseAccepts(1.15, 0.0196, 0.0173, 0.0221),
    FalseAccepts(1.20, 0.0452, 0.0408, 0.0499),
)
"""By distance; `SAME_PERSON` is one of them. The rates of `--faces center` and of `--precision bf16` differ from these
by less than a twentieth."""

_CALIBRATED = Contract(
    faces="largest", mode="fast", margin_px=32, weights="casia-webface", weights_sha256=KNOWN_WEIGHTS["casia-webface"]
).as_dict()
_SAME_RATES = {"faces": ("largest", "center"), "mode": ("fast", "exact"), "precision": ("float32", "bf16")}


def false_accepts_at(distance: float) -> FalseAccepts:
    """The row of a distance that was measured."""
    return next(row for row in FALSE_ACCEPTS if row.distance == distance)


def same_person_threshold(contract: dict[str, Any]) -> float | None:
    """`SAME_PERSON` where `contract` (as `summary.json` has it) is one that it was measured under, else None."""
    for name, value in _CALIBRATED.items():
        if contract.get(name) not in _SAME_RATES.get(name, (value,)):
            return None
    return SAME_PERSON
