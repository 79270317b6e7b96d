"""Measures the peak memory of a command from outside."""

import os
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PAUSE_S = 0.005


@dataclass(frozen=True)
class Peak:
    """The peak memory of one process, in MiB."""

    private: float
    """Anonymous memory, without pages of mapped files: the kernel reclaims those when it needs memory."""
    resident: float
    """The resident memory, with pages of mapped files and libraries."""
    exit_code: int


def peak_memory(command: Sequence[str], cwd: Path, **environment: str) -> Peak:
    """Runs the command to its end and discards its output. Linux only."""
    process = subprocess.Popen(
        command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=os.environ | environment
    )
    private = resident = 0
    ended = threading.Event()
    threading.Thread(target=lambda: (process.wait(), ended.set()), daemon=True).start()
    while not ended.wait(_PAUSE_S):
        figures = _figures(process.pid)
        private, resident = max(private, figures.get("RssAnon", 0)), max(resident, figures.get("VmHWM", 0))
    return Peak(private / 1024, resident / 1024, process.returncode)


def _figures(pid: int) -> dict[str, int]:
    """The values in KiB by their names in /proc/PID/status; empty if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines) if "kB" in value}
