"""Samples CPU, memory and progress of a worker while it works.

With one sample per second, a worker with two children spends 0.2 to 0.4 % of a core on sampling (AMD EPYC, `python
benchmarks/sampler.py IMAGES`: 1.6 ms to read and log, 0.3 ms to send). The process ids come from the pool, without a
search through all processes of the machine, and each process is read from small files in /proc. Only for the unshared
memory (`uss_mib`) the kernel has to walk all pages, which takes 3.5 ms per process: it is read in every 30th sample.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import psutil
import redis

from shared.config.logs import get_logger
from shared.domain.task_ids import TaskId
from shared.store.redis_client import Client
from worker.execution.active_tasks import active_tasks
from worker.execution.progress import Progress
from worker.supervision.readiness import LoadedProcesses
from worker.supervision.sample_log import SampleLog
from worker.supervision.sample_sender import SampleStreams

_WAIT_S = 1.0
_USS_EVERY = 30  # samples
MIB = 2**20
_log = get_logger("resources")


class Sampler:
    """Samples this process and its children, for the worker's log and its streams on the server.

    Reading and sending are steps of two threads, so that the log continues while the server is unreachable.
    """

    def __init__(
        self,
        worker: str,
        children: Callable[[], Collection[int]],
        progress: Progress,
        loaded: LoadedProcesses,
        log: SampleLog | None,
        serves: Mapping[str, str],
    ) -> None:
        """`children` returns the pool's process ids. `serves` describes what this worker can serve."""
        self._children, self._progress, self._loaded, self._log, self._serves = children, progress, loaded, log, serves
        self._main = psutil.Process()
        self._known = {self._main.pid: self._main}
        self._samples = 0
        self._latest: dict[str, Any] = {}
        self._streams = SampleStreams(worker)
        self._fresh = threading.Event()
        self._server_unreachable = False

    def latest(self) -> dict[str, Any]:
        """The sums of the last sample: CPU in percent of a core, memory in MiB, processes, and images done."""
        return dict(self._latest)

    def sample(self) -> None:
        """Takes one sample."""
        children = self._children()
        rows = self._read(children)
        # Replaced as a whole: other threads see either the old or the new values.
        self._latest = {
            "cpu_percent": round(sum(float(row["cpu_percent"]) for row in rows), 1),
            "rss_mib": round(sum(float(row["rss_mib"]) for row in rows), 1),
            "processes": len(rows),
            "images_done": self._progress.total,
            "images_per_s": round(self._progress.images_per_s(), 2),
            "models_loaded": self._loaded.count(children),
            **self._serves,
        }
        self._streams.add(rows, time.time())
        self._fresh.set()
        if self._log is not None:
            self._log.write(rows)

    def send(self, client: Client) -> None:
        """Waits for a sample and sends it, with all unsent ones, in one round trip."""
        if not self._fresh.wait(_WAIT_S):
            return
        self._fresh.clear()
        try:
            self._streams.send(client)
        except redis.RedisError as error:
            if not self._server_unreachable:
                _log.warning("samples wait for the server: %s", error, extra={"action": "samples_wait"})
            self._server_unreachable = True
            return
        self._server_unreachable = False

    def _read(self, children: Collection[int]) -> list[dict[str, str]]:
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        machine = f"{psutil.cpu_percent():.1f}", f"{psutil.virtual_memory().percent:.1f}"
        pids = [self._main.pid, *(pid for pid in children if pid != self._main.pid)]
        work = {task.pid: task.of for task in active_tasks() if task.pid is not None and task.of is not None}
        with_uss = self._samples % _USS_EVERY == 0
        self._samples += 1
        known, rows = {}, []
        for pid in pids:
            try:
                process = known[pid] = self._known.get(pid) or psutil.Process(pid)
                rows.append(
                    {"time": stamp, "pid": str(pid)}
                    | self._figures(process, work, with_uss)
                    | {
                        "machine_cpu_percent": machine[0],
                        "machine_memory_percent": machine[1],
                    }
                )
            except psutil.Error:  # it has ended meanwhile
                continue
        self._known = known
        self._progress.keep_only(known)
        return rows

    def _figures(self, process: psutil.Process, work: Mapping[int, TaskId], with_uss: bool) -> dict[str, str]:
        is_main = process.pid == self._main.pid
        task = work.get(process.pid)
        with process.oneshot():
            disk = _if_allowed(process.io_counters) if hasattr(process, "io_counters") else None
            full = _if_allowed(process.memory_full_info) if with_uss else None
            return {
                "role": "main" if is_main else "child",
                "cpu_percent": f"{process.cpu_percent():.1f}",
                "rss_mib": f"{process.memory_info().rss / MIB:.1f}",
                "uss_mib": f"{full.uss / MIB:.1f}" if full else "",
                "threads": str(process.num_threads()),
                "read_mib": f"{disk.read_bytes / MIB:.1f}" if disk else "",
                "written_mib": f"{disk.write_bytes / MIB:.1f}" if disk else "",
                "images_done": str(self._progress.total if is_main else self._progress.of_process(process.pid)),
                "job": task.job if task else "",
                "batch": task.part if task else "",
            }


def _if_allowed(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except psutil.AccessDenied:
        return None
