"""The heartbeat of a worker's main process in a file, for a liveness probe that needs no server.

The clock is the monotonic one, which all processes of a machine share: setting the time changes nothing.
"""

import os
import time
from pathlib import Path


def beat(file: Path) -> None:
    """Writes the present time into the file. A reader never sees half of it."""
    scratch = file.with_name(f"{file.name}.{os.getpid()}")
    scratch.write_text(f"{time.monotonic():.3f}\n")
    scratch.replace(file)


def age_s(file: Path) -> float | None:
    """The seconds since the last heartbeat. None if there was none since the machine has started."""
    try:
        age = time.monotonic() - float(file.read_text())
    except (OSError, ValueError):
        return None
    return age if age >= 0 else None
