"""Below which distance two faces count as one person, and for which contracts that is known."""

from typing import Any

from shared.domain.contract import KNOWN_WEIGHTS, Contract

SAME_PERSON = 1.03
"""Euclidean distance. On LFW View 1's test set (1,000 pairs) none of the 500 pairs of different people is at or below
it, so the true rate is at most 0.6 % (3/500, with 95 % confidence), and 94 % of the pairs of one person are:
`docs/accuracy.md` has the table."""

NEAR_DUPLICATE = 0.25
"""Euclidean distance. On the same pairs no two different photographs of one person came closer than 0.28."""

_CALIBRATED = Contract(
    faces="largest", mode="fast", margin_px=32, weights="casia-webface", weights_sha256=KNOWN_WEIGHTS["casia-webface"]
).as_dict()
_SAME_THRESHOLD = {"faces": ("largest", "center"), "mode": ("fast", "exact")}  # the table's rows at 1.032


def same_person_threshold(contract: dict[str, Any]) -> float | None:
    """`SAME_PERSON` where `contract` (as `summary.json` has it) is the one it was measured under, else None."""
    for name, value in _CALIBRATED.items():
        if contract.get(name) not in _SAME_THRESHOLD.get(name, (value,)):
            return None
    return SAME_PERSON
