"""The interface of the two backends, and the choice between them. A backend module implements it with functions."""

import importlib.util
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from shared.config.settings import Settings
from shared.domain.contract import Precision
from shared.domain.errors import ContractError

if TYPE_CHECKING:
    from worker.models.inception_resnet import State
    from worker.models.onnx_file import OnnxNetwork
    from worker.vision.pipeline import Networks


class Backend(Protocol):
    """Converts networks into files, and runs them from those files."""

    def export_networks(self, embedder: "State | OnnxNetwork", folder: Path) -> None:
        """Writes the files that `load_networks` needs into `folder`. `embedder` is FaceNet's weights, or a network."""

    def load_networks(self, folder: Path, threads: int, device: str, precision: Precision) -> "Networks":
        """Loads the networks in this process. Call it after the fork, which the threads of both libraries do not
        survive.

        `precision` is the embedder's. `worker.models.precision.check_precision` must allow it. RuntimeError if the
        library does not take the files, which are undamaged.
        """


def choose_backend(settings: Settings) -> str:
    """`openvino` or `torch` with its version; ContractError if the setting cannot be met."""
    has_openvino = importlib.util.find_spec("openvino") is not None
    name = settings.backend
    if name == "auto":
        name = "openvino" if has_openvino and settings.device == "cpu" else "torch"
    if name == "openvino" and settings.device != "cpu":
        raise ContractError("The OpenVINO backend runs on the CPU; set FACEQUEUE_BACKEND=torch for a GPU.")
    if importlib.util.find_spec(name) is None:
        raise ContractError(f"The backend '{name}' is not installed. Install the extra 'worker'.")
    return f"{name} {version(name).split('+')[0].split('-')[0]}"


def import_backend(chosen: str) -> Backend:
    """The backend that `choose_backend` has chosen. Its library is imported here, so never in a process that forks."""
    if chosen.startswith("openvino"):
        from worker.models import openvino_backend

        return openvino_backend
    from worker.models import torch_backend

    return torch_backend
