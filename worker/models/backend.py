"""The interface of the two backends, and the choice between them. A backend module implements it with its functions."""

import importlib.util
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from shared.config.settings import Settings
from shared.domain.contract import Precision
from shared.domain.errors import ContractError
from worker.vision.pipeline import Networks


class Backend(Protocol):
    """Converts networks into files, and runs them from there."""

    def export_networks(self, embedder: Any, folder: Path) -> None:
        """Writes what `load_networks` needs into `folder`; the embedder is a torch module."""

    def load_networks(self, folder: Path, threads: int, device: str, precision: Precision) -> Networks:
        """The networks in this process. Call it after the fork: neither library's threads survive one.

        `precision` is the embedder's, and one that `worker.models.precision.check_precision` allows.
        """


def choose_backend(settings: Settings) -> str:
    """`openvino` or `torch` with its version; ContractError where the setting cannot be met."""
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
    """The backend that `choose_backend` has chosen. Its library is imported here, hence not in a process that forks."""
    if chosen.startswith("openvino"):
        from worker.models import openvino_backend

        return openvino_backend
    from worker.models import torch_backend

    return torch_backend
