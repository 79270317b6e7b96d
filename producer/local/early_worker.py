"""A worker process for `run` that imports its code while the command line is still being parsed.

What it is to do, it hears later, by one line on its standard input; without one it ends. Nothing else is imported here.
"""

import atexit
import json
import subprocess
import sys
from pathlib import Path

_waiting: "list[subprocess.Popen[bytes]]" = []


def launch() -> None:
    """Starts the process."""
    command = [sys.executable, "-m", "worker", "--wait-for-order"]
    _waiting.append(
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    )
    atexit.register(_discard)


def order(arguments: list[str], environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes] | None":
    """The waiting process, continued as if it had just been started this way; None if there is none."""
    if not _waiting:
        return None
    process = _waiting.pop()
    line = json.dumps({"arguments": arguments, "environment": environment, "log": str(log)})
    try:
        assert process.stdin is not None
        with process.stdin as stdin:
            stdin.write(line.encode() + b"\n")
    except OSError:  # it has died; the one that is started instead says in its log of what
        process.wait()
        return None
    return process


def _discard() -> None:
    for process in _waiting:
        process.kill()
        process.wait()
