"""The models that a benchmark measures."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from producer.cli.options import contract_of
from shared.config.settings import load_settings
from shared.domain.contract import DEFAULT_MARGIN_PX, DEFAULT_WEIGHTS, Contract, Precision
from shared.domain.embedders import EMBEDDERS, FACENET
from shared.domain.errors import InvalidRequest
from worker.models.loader import load_networks
from worker.vision.pipeline import Networks


@dataclass(frozen=True)
class ChosenModel:
    """A model as it was given, and the contract of a job with it."""

    given: str
    contract: Contract

    @property
    def description(self) -> str:
        """The model and its crops, in words."""
        margin = f", margin {self.contract.margin_px} px" if self.contract.alignment == "box" else ""
        return f"{self.contract.model} ({self.contract.weights}{margin})"

    def load(self, threads: int) -> Networks:
        """Its networks."""
        if self.given not in EMBEDDERS:  # the process that converts it reads the environment
            os.environ["FACEQUEUE_WEIGHTS_PATH"] = str(Path(self.given).resolve())
        of = self.contract
        return load_networks(
            of.weights, of.weights_sha256, load_settings(), threads, of.precision, embedder=of.embedder
        )


def add_models(
    parser: argparse.ArgumentParser, *, several: bool = False, default: Sequence[str] = (FACENET.name,)
) -> None:
    """Adds the option `--model`, for one model or for several."""
    what = "facenet, sface, or an ONNX file with its description beside it (docs/models.md)"
    if several:
        parser.add_argument("--model", nargs="+", default=list(default), metavar="MODEL", help=what)
    else:
        parser.add_argument("--model", default=default[0], metavar="MODEL", help=what)


def choose_model(model: str, margin: int = DEFAULT_MARGIN_PX, precision: Precision = "float32") -> ChosenModel:
    """The model with this name or in this file. SystemExit says why there is none."""
    try:
        return ChosenModel(model, contract_of("largest", True, margin, False, DEFAULT_WEIGHTS, precision, model))
    except InvalidRequest as error:
        raise SystemExit(str(error)) from None
