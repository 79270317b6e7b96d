"""Measures how jobs share workers: a small job behind a large one, a normal job beside high ones, and three equal jobs.

    python benchmarks/fairness.py [--processes 4] [--image-ms 10] [--only small shares equal]

Only decoding, detecting and embedding are simulated (`benchmarks/simulated_worker.py`): an image takes `--image-ms` of
one process's time and no processor time. The large job has 100,000 images. It is cancelled when the small one is done.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.machine import describe_machine
from benchmarks.targets import print_targets
from producer.local.redis_server import EmbeddedServer
from shared.config.settings import Settings
from shared.domain.job import Job
from shared.store.jobs import JobRecord, list_jobs
from shared.store.redis_client import connect

ROOT = Path(__file__).parent.parent
LARGE, MIDDLE, SMALL = 100_000, 3_000, 10
FILES_IN_A_FOLDER = 1000
SHARES_S = 20.0
_LOOK_S = 0.05
_SMALL_S = 10.0


class Room:
    """A server, workers and an aggregator in a folder of their own."""

    def __init__(self, folder: Path, processes: int, image_ms: float) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._server = EmbeddedServer(folder / "server")
        self._server.start()
        self._client = connect(Settings(_env_file=None, redis_url=self._server.url))
        self._environment = os.environ | {
            "REDIS_URL": self._server.url,
            "FACEQUEUE_DATA_ROOT": str(folder),
            "FACEQUEUE_RESULTS_DIR": str(folder / "results"),
            "FACEQUEUE_STATE_DIR": str(folder / "state"),
            "FACEQUEUE_CACHE_TTL_S": "0",
            "PYTHONPATH": str(ROOT),
            "SIMULATED_IMAGE_S": str(image_ms / 1000),
        }
        for queue, count in (("embed", processes), ("aggregate", 1)):
            self._spawn("benchmarks.simulated_worker", "--queues", queue, "--concurrency", str(count), log=queue)
        wait_until(lambda: all(" ready." in self._log(queue) for queue in ("embed", "aggregate")))

    def _log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def _spawn(self, *arguments: str, log: str) -> None:
        with (self._folder / f"{log}.log").open("ab") as out:
            command = [sys.executable, "-m", *arguments]
            process = subprocess.Popen(command, env=self._environment, stdout=out, stderr=out, cwd=self._folder)
        self._processes.append(process)

    def images(self, name: str, number: int) -> None:
        """Makes a folder of empty files."""
        for image in range(number):
            some = self._folder / name / f"album-{image // FILES_IN_A_FOLDER:04d}"
            if image % FILES_IN_A_FOLDER == 0:
                some.mkdir(parents=True)
            (some / f"{image:07d}.jpg").touch()

    def begin_to_enqueue(self, job: str, folder: str, *options: str) -> None:
        """Starts a producer."""
        arguments = ["--job", job, "--no-report", "--distances", "none", "--neighbors", "0", *options]
        self._spawn("producer", "enqueue", str(self._folder / folder), *arguments, log=f"enqueue-{job}")

    def enqueue(self, job: str, folder: str, *options: str) -> None:
        """Starts a producer; returns when it has filled its window, or is done."""
        self.begin_to_enqueue(job, folder, *options)
        wait_until(lambda: self._is_enqueued(job))

    def _is_enqueued(self, job: str) -> bool:
        said = self._log(f"enqueue-{job}")
        return " images in " in said or "waiting for workers" in said

    def load(self, job: str) -> Job:
        """A job as it is now."""
        return JobRecord(self._client, job).load()

    def is_there(self, job: str) -> bool:
        """Whether a producer has made the job."""
        return JobRecord(self._client, job).exists()

    def cancel_all(self) -> None:
        """Cancels every unfinished job."""
        for job in list_jobs(self._client):
            JobRecord(self._client, job.name).delete()
        self._client.delete("embed")

    def close(self) -> None:
        """Ends everything that was started."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        self._server.stop()


def wait_until(condition: Callable[[], object]) -> None:
    """Returns as soon as the condition holds; ends the benchmark after ten minutes."""
    deadline = time.monotonic() + 600
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("not within ten minutes")
        time.sleep(_LOOK_S)


def small_behind_large(room: Room) -> list[tuple[str, str, str, bool]]:
    """How long a job of 10 images takes behind one of 100,000."""
    room.enqueue("large", "large")
    started = time.monotonic()
    room.enqueue("small", "small")
    wait_until(lambda: room.load("small").state == "finished")
    took_s, done = time.monotonic() - started, room.load("large").images_done
    room.cancel_all()
    what = f"{SMALL} images behind {LARGE}, of which {done} were done then"
    return [(what, f"at most {_SMALL_S:.0f} s", f"{took_s:.1f} s", took_s <= _SMALL_S)]


def shares(room: Room) -> list[tuple[str, str, str, bool]]:
    """What a normal job gets beside two high ones, all with enough images."""
    room.enqueue("normal", "large")
    for job in ("high-1", "high-2"):
        room.enqueue(job, "large", "--priority", "high")
    jobs = ("normal", "high-1", "high-2")
    before = {job: room.load(job).images_done for job in jobs}
    time.sleep(SHARES_S)
    done = {job: room.load(job).images_done - before[job] for job in jobs}
    room.cancel_all()
    share = done["normal"] / sum(done.values())
    even = max(done["high-1"], done["high-2"]) / min(done["high-1"], done["high-2"])
    return [
        ("a normal job beside two high ones", "at least 10 %", f"{100 * share:.1f} %", share >= 0.1),
        ("the faster of the two to the slower", "at most 1.05", f"{even:.2f}", even <= 1.05),
    ]


def equal(room: Room) -> list[tuple[str, str, str, bool]]:
    """When three jobs of the same size finish that are enqueued at the same time."""
    started = time.monotonic()
    jobs = ("first", "second", "third")
    for job in jobs:
        room.begin_to_enqueue(job, "middle")
    wait_until(lambda: all(room.is_there(job) for job in jobs))
    wait_until(lambda: all(room.load(job).state == "finished" for job in jobs))
    ended_ms = [room.load(job).ended_ms or 0 for job in jobs]
    took_s, apart_s = time.monotonic() - started, (max(ended_ms) - min(ended_ms)) / 1000
    what = f"three jobs of {MIDDLE} images end so long after each other"
    return [(what, "at most a tenth", f"{apart_s:.1f} of {took_s:.1f} s", apart_s <= took_s / 10)]


_PARTS: dict[str, Callable[[Room], list[tuple[str, str, str, bool]]]] = {
    "small": small_behind_large,
    "shares": shares,
    "equal": equal,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--image-ms", type=float, default=10.0)
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=list(_PARTS))
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        room = Room(Path(temporary), given.processes, given.image_ms)
        try:
            for name, number in (("large", LARGE), ("middle", MIDDLE), ("small", SMALL)):
                room.images(name, number)
            rows = [row for part in given.only for row in _PARTS[part](room)]
        finally:
            room.close()
    print(f"{describe_machine()}; {given.processes} processes, an image takes {given.image_ms:g} ms")
    print_targets(rows)


if __name__ == "__main__":
    main()
