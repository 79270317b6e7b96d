"""Converts weights in a separate process: torch must not have run in a process that forks."""

import signal
import subprocess
import sys

from shared.config.settings import Settings
from shared.domain.errors import WeightsError

_TIMEOUT_S = 3600.0  # in seconds: enough to download 112 MB over a slow line and to convert them


def prepare_in_subprocess(name: str, sha256: str, settings: Settings) -> None:
    """Creates the networks' files for these weights. WeightsError says in one line why it cannot."""
    # The process reads all other settings from the same environment. `--`: a name that starts with `-` must not be
    # parsed as an option.
    worker = [sys.executable, "-m", "worker", "--device", settings.device]
    command = [*worker, "fetch-weights", "--compile", f"--sha256={sha256}", "--", name]
    by_hand = f"To see more, run it by hand: python -m worker fetch-weights {name} --sha256 {sha256}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise WeightsError(f"Preparing the weights '{name}' was ended after {_TIMEOUT_S:.0f} s. {by_hand}") from None
    said = (done.stderr or done.stdout).strip().splitlines()
    if done.returncode < 0:
        # Its last line may be unrelated: the process did not know that it would be killed.
        what = f"signal {-done.returncode} ({signal.strsignal(-done.returncode)})"
        raise WeightsError(f"Preparing the weights '{name}' was ended by {what}; is memory short? {by_hand}")
    if done.returncode and not said:
        raise WeightsError(f"Preparing the weights '{name}' ended with exit code {done.returncode}. {by_hand}")
    if done.returncode:
        raise WeightsError(said[-1])
