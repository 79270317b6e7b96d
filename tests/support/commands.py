"""`python -m producer run` with a server and a state folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.stage import ROOT


def environment_of(folder: Path) -> dict[str, str]:
    """The environment of commands whose state is in `folder`."""
    environment = os.environ | {"FACEQUEUE_STATE_DIR": str(folder / "state"), "PYTHONPATH": str(ROOT)}
    environment.pop("REDIS_URL", None)
    return environment


def run_in(folder: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m producer run` in a folder, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "producer", "run", *map(str, arguments)],
        env=environment_of(folder) | environment,
        capture_output=True,
        text=True,
        timeout=150,
        cwd=folder,
    )
