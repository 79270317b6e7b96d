"""CPU and memory of a worker, sampled beside the work."""

import os
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import psutil
import redis

from shared.job import PREFIX
from shared.server import Client

_STREAMS = f"{PREFIX}resources:"
_SAMPLES_KEPT = 20_000  # a stream holds some hours of one worker, a few MiB
_SAMPLES_LIFE_S = 24 * 3600
MIB = 2**20


class Sampler:
    """Reads this process and its children, and adds a line each to the worker's stream."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._known: dict[int, psutil.Process] = {}
        self._latest: dict[str, Any] = {}
        self._lock = threading.Lock()

    def latest(self) -> dict[str, Any]:
        """Sums of the last sample: CPU in percent of a core, memory in MiB, processes."""
        with self._lock:
            return dict(self._latest)

    def sample(self, client: Client) -> None:
        """Takes one sample and sends it; a full server has no room for samples, and they are not missed."""
        rows = self._read()
        with self._lock:
            self._latest = {
                "cpu_percent": round(sum(float(row["cpu_percent"]) for row in rows), 1),
                "rss_mib": round(sum(float(row["rss_mib"]) for row in rows), 1),
                "processes": len(rows),
            }
        with suppress(redis.OutOfMemoryError), client.pipeline(transaction=False) as pipe:
            for row in rows:
                pipe.xadd(_STREAMS + self._worker, row, maxlen=_SAMPLES_KEPT, approximate=True)
            pipe.expire(_STREAMS + self._worker, _SAMPLES_LIFE_S)
            pipe.execute()

    def _read(self) -> list[dict[str, str]]:
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        machine = f"{psutil.cpu_percent():.1f}", f"{psutil.virtual_memory().percent:.1f}"
        main = self._known.setdefault(os.getpid(), psutil.Process())
        present = {main.pid: main}
        for child in main.children(recursive=True):
            present[child.pid] = self._known.get(child.pid, child)
        self._known = present
        rows = []
        for process in present.values():
            try:
                with process.oneshot():
                    disk = process.io_counters() if hasattr(process, "io_counters") else None
                    rows.append({
                        "time": stamp, "pid": str(process.pid), "role": "main" if process is main else "child",
                        "cpu_percent": f"{process.cpu_percent():.1f}",
                        "rss_mib": f"{process.memory_info().rss / MIB:.1f}", "threads": str(process.num_threads()),
                        "read_mib": f"{disk.read_bytes / MIB:.1f}" if disk else "",
                        "written_mib": f"{disk.write_bytes / MIB:.1f}" if disk else "",
                        "machine_cpu_percent": machine[0], "machine_memory_percent": machine[1],
                    })  # fmt: skip
            except psutil.Error:  # it has ended meanwhile, or is not ours to look at
                continue
        return rows


def samples_between(client: Client, started_ms: int) -> dict[str, list[dict[str, str]]]:
    """Every worker's samples from `started_ms` until now."""
    found = {}
    until = int(time.time() * 1000) + 1000
    for key in client.scan_iter(match=f"{_STREAMS}*"):
        entries = client.xrange(key, min=str(started_ms), max=str(until))
        rows = [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in entries]
        if rows:
            found[key.decode().removeprefix(_STREAMS)] = rows
    return found
