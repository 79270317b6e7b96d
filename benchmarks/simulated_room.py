"""A server with workers, of which only decoding, detecting and embedding are simulated (`simulated_worker`)."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from producer.local.redis_server import EmbeddedServer
from shared.config.settings import Settings
from shared.domain.errors import JobNotFound
from shared.domain.job import Job
from shared.store.jobs import JobRecord
from shared.store.redis_client import connect

ROOT = Path(__file__).parent.parent
_FILES_IN_A_FOLDER = 1000
_LOOK_S = 0.05
_START_S = 120.0


class SimulatedRoom:
    """A server, workers and an aggregator in a folder of their own. They end with this process."""

    def __init__(self, folder: Path, processes: int, aggregating: int, **environment: str) -> None:
        """`processes` work on images, and `aggregating` on results; all have these variables in their environment."""
        self.folder, self.images, self.results = folder, folder / "images", folder / "results"
        self.images.mkdir()
        self._processes: list[subprocess.Popen[bytes]] = []
        self.server = EmbeddedServer(folder / "server")
        self.server.start()
        self.settings = Settings(
            _env_file=None, redis_url=self.server.url, data_root=self.images, results_dir=self.results
        )
        self.client = connect(self.settings)
        self._environment = {
            **os.environ,
            "REDIS_URL": self.server.url,
            "FACEQUEUE_DATA_ROOT": str(self.images),
            "FACEQUEUE_RESULTS_DIR": str(self.results),
            "FACEQUEUE_STATE_DIR": str(folder / "state"),
            "PYTHONPATH": str(ROOT),
            **environment,
        }
        self.worker = self._start_worker("embed", processes)
        self.aggregator = self._start_worker("aggregate", aggregating)

    def _start_worker(self, queue: str, processes: int) -> subprocess.Popen[bytes]:
        arguments = ["--queues", queue, "--concurrency", str(processes), "--parent-pid", str(os.getpid())]
        worker = self.spawn("benchmarks.simulated_worker", *arguments, log=queue)
        wait_until(lambda: worker.poll() is not None or " ready." in self.log(queue), _START_S)
        if worker.poll() is not None:
            sys.exit(self.log_end(queue))
        return worker

    def spawn(self, *arguments: str, log: str) -> subprocess.Popen[bytes]:
        """Starts `python -m ...`; `log` names the file of what it prints."""
        with self._log_path(log).open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.folder,
            )
        self._processes.append(process)
        return process

    def enqueue(self, job: str, folder: Path, *options: object, distances: str = "none") -> subprocess.Popen[bytes]:
        """Starts to enqueue a folder of images."""
        arguments = ["--job", job, "--distances", distances, *map(str, options)]
        return self.spawn("producer", "enqueue", str(folder), *arguments, log=job)

    def load(self, job: str) -> Job | None:
        """A job as it is now; None before a producer has made it."""
        try:
            return JobRecord(self.client, job).load()
        except JobNotFound:
            return None

    def log(self, name: str) -> str:
        """What a process has printed; that of a producer is named as the job is."""
        return self._log_path(name).read_text(errors="replace")

    def log_end(self, name: str) -> str:
        """The last lines that a process has printed."""
        return "\n".join(self.log(name).splitlines()[-5:])

    def _log_path(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def close(self) -> None:
        """Ends everything that was started."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        self.server.stop()


def make_files(folder: Path, images: int) -> None:
    """Empty files, a thousand in a folder."""
    for number in range(images):
        some = folder / f"album-{number // _FILES_IN_A_FOLDER:04d}"
        if number % _FILES_IN_A_FOLDER == 0:
            some.mkdir(parents=True)
        (some / f"photograph-{number:07d}.jpg").touch()


def wait_until(condition: Callable[[], object], limit_s: float = 600.0) -> None:
    """Returns as soon as the condition holds; ends the benchmark if it does not within the limit."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"not within {limit_s:g} s")
        time.sleep(_LOOK_S)
