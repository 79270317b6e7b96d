"""Converts weights in a process of its own: torch must not have run in a process that forks."""

import signal
import subprocess
import sys

from shared.config.settings import Settings
from shared.domain.errors import WeightsError

_TIMEOUT_S = 3600.0  # seconds for converting; the rest is for downloading 112 MB over a slow line


def prepare_in_subprocess(name: str, sha256: str, settings: Settings) -> None:
    """Makes the networks' files for these weights; WeightsError says in a line why it cannot."""
    # The process reads all other settings from the same environment. `--`: a name that starts with `-` is not an
    # option.
    worker = [sys.executable, "-m", "worker", "--device", settings.device]
    command = [*worker, "fetch-weights", f"--sha256={sha256}", "--", name]
    by_hand = f"To see more, run it by hand: python -m worker fetch-weights {name} --sha256 {sha256}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise WeightsError(f"Preparing the weights '{name}' was ended after {_TIMEOUT_S:.0f} s. {by_hand}") from None
    said = (done.stderr or done.stdout).strip().splitlines()
    if done.returncode < 0:
        # Its last line may be about anything: it did not know that it would be killed.
        what = f"signal {-done.returncode} ({signal.strsignal(-done.returncode)})"
        raise WeightsError(f"Preparing the weights '{name}' was ended by {what}; is memory short? {by_hand}")
    if done.returncode and not said:
        raise WeightsError(f"Preparing the weights '{name}' ended with exit code {done.returncode}. {by_hand}")
    if done.returncode:
        raise WeightsError(said[-1])
