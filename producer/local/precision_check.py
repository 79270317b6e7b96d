"""Asks the worker code of this machine, before `run` starts anything, whether it can serve the requested precision."""

import subprocess
import sys

from shared.config.settings import Settings
from shared.domain.contract import Precision
from shared.domain.errors import InvalidRequest

_TIMEOUT_S = 60.0  # seconds, for a cold disk


def check_precision(precision: Precision, settings: Settings) -> None:
    """InvalidRequest with the worker's reason if workers of this machine cannot compute in this precision.

    float32 is always served, so nothing is asked for it. The worker reads all settings but the device from the same
    environment.
    """
    if precision == "float32":
        return
    command = [sys.executable, "-m", "worker", "--device", settings.device, "supports", precision]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"`{' '.join(command[1:])}` ended with {done.returncode}."]
        raise InvalidRequest(said[-1].removeprefix("worker: "))
