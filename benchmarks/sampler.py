"""Measures the cost of a worker's samples, with a real worker and two children, idle and busy.

    python benchmarks/sampler.py IMAGES [--seconds 60]

The first table has the processor time of the worker's main process; its rows also differ by chance. The second table
has the thread time of the sampler alone, with the same children and one sample per second.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.machine import describe_machine
from benchmarks.targets import print_targets
from producer.local.redis_server import EmbeddedServer
from shared.config.settings import Settings
from shared.store.redis_client import Client, connect
from worker.execution.progress import Progress
from worker.supervision.readiness import LoadedProcesses
from worker.supervision.resource_sampler import Sampler
from worker.supervision.sample_log import SampleLog

_TARGET_PERCENT = 0.5
_NEVER_S = 1e6
_DIRECT_SAMPLES = 200


class Bench:
    """A server with one worker at a time."""

    def __init__(self, images: Path, folder: Path, server: EmbeddedServer) -> None:
        self._images, self._folder, self._server = images, folder, server
        self.client: Client = connect(Settings(_env_file=None, redis_url=server.url))
        self._jobs = 0

    def start_worker(self, sample_interval_s: float) -> psutil.Process:
        """Starts a worker with two children and waits until it is ready."""
        environment = self._environment() | {"FACEQUEUE_SAMPLE_INTERVAL_S": str(sample_interval_s)}
        log = self._folder / "worker.log"
        with log.open("wb") as file:
            process = psutil.Popen(
                [sys.executable, "-m", "worker", "--concurrency", "2"], env=environment, stdout=file, stderr=file
            )
        while log.read_text().count("networks loaded") < 2 or " ready." not in log.read_text():
            if process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.2)
        return psutil.Process(process.pid)

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "REDIS_URL": self._server.url,
            "FACEQUEUE_STATE_DIR": str(self._folder / "state"),
            "FACEQUEUE_CACHE_TTL_S": "0",
            "FACEQUEUE_DATA_ROOT": str(self._images),
            "FACEQUEUE_RESULTS_DIR": str(self._folder / "results"),
        }

    def keep_busy(self) -> None:
        """Keeps the worker busy for some seconds."""
        if self.client.llen("embed") < 8:
            self._jobs += 1
            command = [sys.executable, "-m", "producer", "enqueue", str(self._images), "--job", f"busy-{self._jobs}"]
            subprocess.run(
                command, env=self._environment(), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )

    def cpu_percent(self, process: psutil.Process, seconds: float, meanwhile: Callable[[], None]) -> float:
        """The CPU use of one process over some seconds, in percent of a core."""
        before, started = _cpu_s(process), time.monotonic()
        while time.monotonic() - started < seconds:
            meanwhile()
            time.sleep(1)
        return 100 * (_cpu_s(process) - before) / (time.monotonic() - started)

    def sample_ms(self, children: list[int]) -> tuple[float, float]:
        """The processor time in milliseconds to read and log one sample, and to send it."""
        log = SampleLog(self._folder, "direct@bench", 2**24)
        sampler = Sampler("direct@bench", lambda: children, Progress(), LoadedProcesses(), log, {})
        read = send = 0.0
        for _ in range(_DIRECT_SAMPLES):
            started = time.thread_time()
            sampler.sample()
            read += time.thread_time() - started
            started = time.thread_time()
            sampler.send(self.client)
            send += time.thread_time() - started
        return 1000 * read / _DIRECT_SAMPLES, 1000 * send / _DIRECT_SAMPLES


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    print(f"{describe_machine()}\n")
    with tempfile.TemporaryDirectory() as temporary:
        server = EmbeddedServer(Path(temporary) / "server")
        server.start()
        try:
            _measure(Bench(arguments.images.resolve(), Path(temporary), server), arguments.seconds)
        finally:
            server.stop()


def _measure(bench: Bench, seconds: float) -> None:
    print("| main process | idle, % of a core | at work, % of a core |\n| --- | --- | --- |")
    direct = (0.0, 0.0)
    for name, interval_s in (("without samples", _NEVER_S), ("a sample a second", 1.0)):
        worker = bench.start_worker(interval_s)
        try:
            idle = bench.cpu_percent(worker, seconds, lambda: None)
            at_work = bench.cpu_percent(worker, seconds, bench.keep_busy)
            print(f"| {name} | {idle:.2f} | {at_work:.2f} |", flush=True)
            if interval_s == 1.0:
                direct = bench.sample_ms([child.pid for child in worker.children()])
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait()
    read_ms, send_ms = direct
    print(f"\nOne sample of three processes: {read_ms:.2f} ms to read and log, {send_ms:.2f} ms to send.")
    percent = (read_ms + send_ms) / 10
    rows = [
        (
            "the sampler, one sample a second",
            f"under {_TARGET_PERCENT} % of a core",
            f"{percent:.2f} %",
            percent < _TARGET_PERCENT,
        )
    ]
    print_targets(rows)


if __name__ == "__main__":
    main()
