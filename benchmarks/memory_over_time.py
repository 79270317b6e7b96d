"""Watches the memory of some processes while they work."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

_PAUSE_S = 1.0


class MemoryOverTime:
    """Notes the private memory of the processes of each role, in MiB: anonymous pages, a page that several share in
    parts, and no pages of mapped files, which the kernel reclaims when it needs memory. Linux only.
    """

    def __init__(self) -> None:
        self._roles: dict[str, int] = {}
        self._noted: dict[str, list[tuple[float, float]]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def add(self, role: str, pid: int) -> None:
        """Watches a process and its descendants under this name."""
        self._roles[role] = pid
        self._noted.setdefault(role, [])

    def stop(self) -> None:
        """Ends the watching."""
        self._ended.set()
        self._thread.join()

    def peak(self, role: str, since: float = 0.0, until: float = float("inf")) -> float:
        """The most between two times of `time.monotonic`."""
        return self._over(max, role, since, until)

    def usual(self, role: str, since: float, until: float) -> float:
        """The median between two times."""
        return self._over(lambda found: sorted(found)[len(found) // 2], role, since, until)

    def _over(self, what: Callable[[list[float]], float], role: str, since: float, until: float) -> float:
        found = [mib for at, mib in self._noted[role] if since <= at <= until]
        return what(found) if found else 0.0

    def _watch(self) -> None:
        while not self._ended.wait(_PAUSE_S):
            for role, pid in list(self._roles.items()):
                with suppress(psutil.Error):
                    process = psutil.Process(pid)
                    mib = sum(_private_mib(part.pid) for part in [process, *process.children(recursive=True)])
                    self._noted[role].append((time.monotonic(), mib))


def _private_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    figures = {name: value for name, _, value in (line.partition(":") for line in lines)}
    return float(figures.get("Pss_Anon", "0 kB").split()[0]) / 1024
