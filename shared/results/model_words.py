"""The model of a job in words: its name, its license, who trained it, on what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.contract import KNOWN_WEIGHTS
from shared.domain.embedders import EMBEDDERS, FACENET
from shared.domain.paths import printable

_NOT_KNOWN = "not known"


@dataclass(frozen=True, kw_only=True)
class ModelWords:
    """What `summary.json` says of the model, under `model`."""

    name: str
    weights: str
    license: str
    origin: str


def describe_model(contract: Mapping[str, Any], license_: str = "", origin: str = "") -> ModelWords:
    """The model of a contract (a JSON object). `license_` and `origin` are those of a model of the user's own."""
    name, weights = (printable(str(contract.get(key) or FACENET.name)) for key in ("model", "weights"))
    known = EMBEDDERS.get(name)
    if known is not None and weights in KNOWN_WEIGHTS:
        license_, origin = known.license, known.origin
    elif known is not None:
        license_, origin = _NOT_KNOWN, f"weights of the user's own, for {known.name}"
    return ModelWords(name=name, weights=weights, license=license_ or _NOT_KNOWN, origin=origin or _NOT_KNOWN)


def model_of(summary: Mapping[str, Any]) -> ModelWords:
    """The model of the results with this `summary.json`. Nothing about it is trusted."""
    contract, words = summary.get("contract"), summary.get("model")
    texts = words if isinstance(words, Mapping) else {}  # earlier versions wrote none
    license_, origin = (printable(str(texts.get(key) or "")) for key in ("license", "origin"))
    return describe_model(contract if isinstance(contract, Mapping) else {}, license_, origin)
