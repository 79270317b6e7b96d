"""Combines the samples of many seconds into one, for the older part of a worker's history."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.sample_stream import Row

_MEANS = ("cpu_percent", "machine_cpu_percent")
_PEAKS = ("rss_mib", "uss_mib", "threads", "machine_memory_percent")
_WORK = ("job", "batch")


@dataclass
class _Process:
    last: Row
    samples: int = 0
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_MEANS, 0.0))
    peaks: Row = field(default_factory=dict)
    work: Row = field(default_factory=dict)

    def add(self, row: Row) -> None:
        self.last = row
        self.samples += 1
        for name in _MEANS:
            self.sums[name] += float(row[name] or 0)
        for name in _PEAKS:
            if row[name] and (name not in self.peaks or float(row[name]) > float(self.peaks[name])):
                self.peaks[name] = row[name]
        if row["job"]:
            self.work = {name: row[name] for name in _WORK}

    def as_row(self, time: str, moments: int) -> Row:
        # A process counts as idle while it did not exist, so that the sum over processes is right.
        means = {
            "cpu_percent": self.sums["cpu_percent"] / moments,
            "machine_cpu_percent": self.sums["machine_cpu_percent"] / self.samples,
        }
        return (
            self.last | self.peaks | self.work | {"time": time} | {name: f"{mean:.1f}" for name, mean in means.items()}
        )


class Window:
    """Collects the samples of windows of `seconds`, aligned with the clock."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._number: int | None = None
        self._time, self._moments = "", 0
        self._processes: dict[str, _Process] = {}

    def add(self, rows: Sequence[Row], at_s: float) -> list[Row]:
        """Adds the sample taken at `at_s`, one row per process. Returns the rows of the window that it ends, if any.

        A row has the time of the window's last sample, the mean CPU, the peak of memory and threads, the last active
        job and batch, and the last value of each counter.
        """
        number = int(at_s // self._seconds)
        ended = [] if number == self._number else self._end()
        self._number = number
        if rows:
            self._time = rows[0]["time"]
            self._moments += 1
        for row in rows:
            self._processes.setdefault(row["pid"], _Process(row)).add(row)
        return ended

    def _end(self) -> list[Row]:
        rows = [process.as_row(self._time, self._moments) for process in self._processes.values()]
        self._processes, self._moments = {}, 0
        return rows
