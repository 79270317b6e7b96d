"""Watches the memory and the processor time of some processes while they work."""

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

_PAUSE_S = 1.0


class _Noted(NamedTuple):
    at: float
    """By `time.monotonic`."""
    mib: float
    cpu_s: float


class ProcessesOverTime:
    """Notes the private memory and the processor time of the processes of each role. Linux only.

    Private memory is anonymous pages, a page that several processes share in parts. It has no pages of mapped files,
    which the kernel reclaims when it needs memory.
    """

    def __init__(self) -> None:
        self._roles: dict[str, int] = {}
        self._noted: dict[str, list[_Noted]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def add(self, role: str, pid: int) -> None:
        """Watches a process and its descendants under this name."""
        self._noted.setdefault(role, [])
        self._roles[role] = pid

    def stop(self) -> None:
        """Ends the watching."""
        self._ended.set()
        self._thread.join()

    def peak_mib(self, role: str, since: float = 0.0, until: float = float("inf")) -> float:
        """The most memory between two times of `time.monotonic`; 0 if nothing was noted then."""
        return max((noted.mib for noted in self._between(role, since, until)), default=0.0)

    def usual_mib(self, role: str, since: float, until: float) -> float:
        """The median of the memory between two times."""
        found = sorted(noted.mib for noted in self._between(role, since, until))
        return found[len(found) // 2] if found else 0.0

    def cpu_s(self, role: str, since: float, until: float) -> float:
        """The processor time between two times."""
        found = self._between(role, since, until)
        return found[-1].cpu_s - found[0].cpu_s if found else 0.0

    def _between(self, role: str, since: float, until: float) -> list[_Noted]:
        return [noted for noted in self._noted.get(role, []) if since <= noted.at <= until]

    def _watch(self) -> None:
        while not self._ended.wait(_PAUSE_S):
            for role, pid in list(self._roles.items()):
                with suppress(psutil.Error):
                    main = psutil.Process(pid)
                    parts = [main, *main.children(recursive=True)]
                    mib = sum(_private_mib(part.pid) for part in parts)
                    self._noted[role].append(_Noted(time.monotonic(), mib, sum(map(_cpu_s, parts))))


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system + used.children_user + used.children_system)


def _private_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    figures = {name: value for name, _, value in (line.partition(":") for line in lines)}
    return float(figures.get("Pss_Anon", "0 kB").split()[0]) / 1024
