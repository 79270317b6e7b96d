"""Asks the worker code of this machine, before anything is started or enqueued, whether it can do what is asked for."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from shared.config.settings import Settings
from shared.domain.contract import Contract, Precision
from shared.domain.errors import InvalidRequest

_ANSWER_S = 60.0  # seconds, for a cold disk
_CONVERSION_S = 600.0


def check_precision(precision: Precision, settings: Settings) -> None:
    """InvalidRequest with the worker's reason if workers of this machine cannot compute in this precision.

    float32 is always served, so nothing is asked for it. The worker reads all settings but the device from the same
    environment.
    """
    if precision != "float32":
        _ask(settings, "supports", precision, timeout_s=_ANSWER_S)


def check_model(model: Path, contract: Contract, settings: Settings) -> None:
    """InvalidRequest with the worker's reason if workers of this machine cannot use the user's model. It is converted.

    Where no worker can run, for want of its packages, workers elsewhere say it.
    """
    if find_spec("openvino") is not None or find_spec("torch") is not None:
        _ask(settings, "check-model", str(model.resolve()), contract.weights_sha256, timeout_s=_CONVERSION_S)


def _ask(settings: Settings, *question: str, timeout_s: float) -> None:
    command = [sys.executable, "-m", "worker", "--device", settings.device, *question]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise InvalidRequest(f"`{' '.join(command[1:])}` did not end within {timeout_s:.0f} s.") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"`{' '.join(command[1:])}` ended with {done.returncode}."]
        raise InvalidRequest(said[-1].removeprefix("worker: "))
