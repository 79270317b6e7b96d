"""The distance below which two faces count as one person, its error rates, and the contracts for which they are known.

Measured by `python benchmarks/all_pairs.py DATA/lfw-view1/images --model MODEL --constants` on LFW View 1's test set:
1,549 images of 963 people, all pairs of different people and all pairs of one person. docs/accuracy.md has the tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.contract import CASIA_WEBFACE, KNOWN_WEIGHTS, SFACE_WEIGHTS, Contract
from shared.domain.embedders import FACENET, SFACE
from shared.domain.paths import printable

FALSE_PAIRS_MEASURED = 1_197_943
"""All pairs of different people."""

NEAR_DUPLICATE = 0.25
"""Euclidean distance. On the same images no two different photographs of one person came closer than 0.28 with
FaceNet, and 0.34 with SFace."""


@dataclass(frozen=True)
class FalseAccepts:
    """The number of pairs of different people within a distance."""

    distance: float
    rate: float
    """Share of the pairs, 0 to 1."""
    low: float
    high: float
    """95 % confidence interval of the share, from drawing people with replacement."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What distances mean under one contract."""

    contract: Contract
    """What was measured, whatever the defaults become."""
    same_person: float
    """Euclidean distance. Larger ones group more of a person's faces, and mix people: docs/accuracy.md compares."""
    true_accepts: float
    """Share of the pairs of one person that are within `same_person`."""
    false_accepts: tuple[FalseAccepts, ...]
    """By distance; `same_person` is one of them."""

    def false_accepts_at(self, distance: float) -> FalseAccepts:
        """The row of a distance that was measured."""
        return next(row for row in self.false_accepts if row.distance == distance)

    def holds_for(self, contract: Mapping[str, Any]) -> bool:
        """Whether embeddings under `contract` (from `summary.json`) have these rates."""
        return all(
            contract.get(name) in _SAME_RATES.get(name, (value,)) for name, value in self.contract.as_dict().items()
        )


_SAME_RATES: dict[str, tuple[Any, ...]] = {
    "faces": ("largest", "center"),
    "mode": ("fast", "exact"),
    "precision": ("float32", "bf16"),
    "pipeline_version": (3, 4, 5),  # 4 and 5 added the quality of a face
}
"""Values of the contract whose rates differ by less than a twentieth. A version of the pipeline that changes embeddings
takes the versions before it out of the list.
"""

FACENET_CALIBRATION = Calibration(
    contract=Contract(
        faces="largest",
        mode="fast",
        margin_px=32,
        weights=CASIA_WEBFACE,
        weights_sha256=KNOWN_WEIGHTS[CASIA_WEBFACE],
    ),
    same_person=0.95,
    true_accepts=0.881,  # 95 % confidence: 0.851 to 0.910
    false_accepts=(
        FalseAccepts(0.80, 3.34e-06, 0, 1.28e-05),
        FalseAccepts(0.85, 2.75e-05, 9.33e-06, 5.86e-05),
        FalseAccepts(0.90, 7.51e-05, 3.81e-05, 0.000127),
        FalseAccepts(0.95, 0.000277, 0.000188, 0.000391),
        FalseAccepts(1.00, 0.00094, 0.000724, 0.00119),
        FalseAccepts(1.05, 0.00281, 0.00232, 0.00339),
        FalseAccepts(1.10, 0.00775, 0.00665, 0.00896),
        FalseAccepts(1.15, 0.0196, 0.0173, 0.0221),
        FalseAccepts(1.20, 0.0452, 0.0408, 0.0499),
    ),
)
SFACE_CALIBRATION = Calibration(
    contract=Contract(
        faces="largest",
        mode="fast",
        margin_px=0,
        weights=SFACE_WEIGHTS,
        weights_sha256=KNOWN_WEIGHTS[SFACE_WEIGHTS],
        **SFACE.contract_fields(),
    ),
    same_person=1.05,
    true_accepts=0.970,  # 95 % confidence: 0.955 to 0.983
    false_accepts=(
        FalseAccepts(0.90, 8.35e-07, 0, 5e-06),
        FalseAccepts(0.95, 1.67e-06, 0, 7.21e-06),
        FalseAccepts(1.00, 4.17e-06, 0, 1.21e-05),
        FalseAccepts(1.05, 4.51e-05, 2.44e-05, 7.36e-05),
        FalseAccepts(1.10, 0.000413, 0.000334, 0.00051),
        FalseAccepts(1.15, 0.00347, 0.00313, 0.0039),
        FalseAccepts(1.20, 0.0212, 0.0198, 0.0228),
        FalseAccepts(1.25, 0.0936, 0.0892, 0.0986),
    ),
)
CALIBRATIONS = (FACENET_CALIBRATION, SFACE_CALIBRATION)
SAME_PERSON = FACENET_CALIBRATION.same_person
"""The threshold of the default options."""


def calibration_of(contract: Mapping[str, Any]) -> Calibration | None:
    """What was measured under `contract` (from `summary.json`), if anything was."""
    return next((known for known in CALIBRATIONS if known.holds_for(contract)), None)


def same_person_threshold(contract: Mapping[str, Any]) -> float | None:
    """The threshold for `contract` (from `summary.json`); None if none was measured."""
    found = calibration_of(contract)
    return None if found is None else found.same_person


def why_not_calibrated(contract: Mapping[str, Any]) -> str:
    """A sentence: why there is no threshold for `contract`."""
    model = printable(str(contract.get("model", FACENET.name)))
    if any(known.contract.model == model for known in CALIBRATIONS):
        return f"No threshold is calibrated for {model} with this job's options, and other options change distances."
    return f"No threshold is calibrated for the model {model}, and what a distance means differs from model to model."
