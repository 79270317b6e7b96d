"""A job of a million images with a simulated pipeline: how long each stage takes, and what grows.

    python benchmarks/million.py [--images 1000000] [--minutes 40] [--processes 2]

Only decoding, detecting and embedding are simulated (`benchmarks/simulated_worker.py`): the folder of empty files, the
commands, the server, the queue, the workers' processes, the record, the spill file, tables and report are real. The
exact neighbors are found by another job of a subset, and extrapolated with the square of its size. The groups are those
of all faces, from neighbors among the faces of a center. It stops at the limit of time and says in which stage. Linux
only.
"""

import argparse
import contextlib
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest

from benchmarks.machine import describe_machine
from benchmarks.processes_over_time import ProcessesOverTime
from benchmarks.simulated_room import SimulatedRoom, make_files
from benchmarks.simulated_worker import CENTERS, center_of
from benchmarks.targets import print_targets
from producer.monitoring.prometheus import QueueCollector
from producer.submission.folder_source import FolderSource
from shared.analysis.calibration import SAME_PERSON
from shared.analysis.copies import Copies
from shared.analysis.neighbor_linkage import link_neighbors
from shared.domain.arrays import Float32
from shared.domain.job import Job, JobState
from shared.domain.paths import RootPath
from shared.results.neighbors_file import Neighbors
from shared.results.schema import EMBEDDINGS
from shared.store.jobs import JobRecord, list_jobs
from shared.store.keys import CACHE_INDEX
from worker.supervision.watched_queues import WatchedQueues

JOB, JOB_OF_SUBSET = "million", "subset"
SUBSET = 30_000
NEIGHBORS, LINKS = 64, 20
_LOOK_S = 0.5
_PARTS = {"start": 0.1, "middle": 0.5, "end": 0.9}  # of the images, when the calls are timed
_THIRDS = ((0.05, 0.3), (0.375, 0.625), (0.7, 0.95))
_ROLES = ("producer", "server", "workers", "aggregator")


class OutOfTime(Exception):
    """The limit of time has come."""


@dataclass
class Clock:
    """The limit, and the seconds of each stage."""

    deadline: float
    seconds: dict[str, float] = field(default_factory=dict)
    stage: str = ""

    @contextlib.contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        """Notes the seconds of a stage."""
        self.check()
        self.stage, started = stage, time.monotonic()
        yield
        self.seconds[stage] = time.monotonic() - started

    def check(self) -> None:
        """OutOfTime at the limit."""
        if time.monotonic() > self.deadline:
            raise OutOfTime


class Room(SimulatedRoom):
    """Its processes are watched."""

    def __init__(self, folder: Path, processes: int) -> None:
        super().__init__(folder, processes, processes)
        self.watched = ProcessesOverTime()
        self.watched.add("server", int(self.client.info("server")["process_id"]))
        self.watched.add("workers", self.worker.pid)
        self.watched.add("aggregator", self.aggregator.pid)

    def close(self) -> None:
        """Ends everything that was started."""
        self.watched.stop()
        super().close()


def time_calls(room: Room) -> dict[str, float]:
    """The milliseconds of what commands and threads ask while the job grows."""
    registry = CollectorRegistry()
    registry.register(QueueCollector(room.client, room.settings))
    queues = WatchedQueues(room.client, room.settings)
    queues.look()
    calls: dict[str, Callable[[], object]] = {
        "`status`, `watch`: the record": JobRecord(room.client, JOB).load,
        "`jobs`: all records": lambda: list_jobs(room.client),
        "`metrics`: a scrape": lambda: generate_latest(registry),
        "reconciler: the batches without a lease": JobRecord(room.client, JOB).find_unleased,
        "reconciler: the messages in the queue": queues.batches,
    }
    found = {}
    for name, call in calls.items():
        times = []
        for _ in range(5):
            started = time.perf_counter()
            call()
            times.append((time.perf_counter() - started) * 1000)
        found[name] = min(times)
    return found


@dataclass
class Work:
    """What was noted while the images were worked on."""

    calls: dict[str, dict[str, float]] = field(default_factory=dict)
    """By part of the job, then by call: milliseconds."""
    keys: dict[str, int] = field(default_factory=dict)
    """By part of the job: the number of keys on the server, without those of cached results."""
    done: list[tuple[float, int]] = field(default_factory=list)
    """Times, and the images done by then."""
    published: float = 0.0
    """When the results were in their place."""
    finished: float = 0.0

    def between(self, begin: float, end: float) -> tuple[float, float]:
        """The times at which these shares of the images were done."""
        total = self.done[-1][1]
        since, until = (next(at for at, images in self.done if images >= share * total) for share in (begin, end))
        return since, until


def work(room: Room, noted: Work, images: int, clock: Clock) -> None:
    """Enqueues everything, and returns when all is published and the job finished."""
    producer = room.enqueue(JOB, room.images, "--neighbors", 0)
    room.watched.add("producer", producer.pid)
    with clock.measured("enqueuing and work"):
        _wait(room, clock, noted, images, lambda job: job.state != JobState.ENQUEUING and job.complete)
    noted.done.append((time.monotonic(), images))
    with clock.measured("aggregation"):
        _wait(room, clock, noted, images, lambda job: job.published_ms is not None or job.state == JobState.FINISHED)
    noted.published = time.monotonic()
    with clock.measured("report"):
        _wait(room, clock, noted, images, lambda job: job.state == JobState.FINISHED)
    noted.finished = time.monotonic()


def _wait(room: Room, clock: Clock, noted: Work, images: int, until: Callable[[Job], bool]) -> None:
    while True:
        clock.check()
        job = room.load(JOB)
        if job is not None:
            if job.problem:
                sys.exit(job.problem)
            if clock.stage == "enqueuing and work" and job.images_done:
                noted.done.append((time.monotonic(), job.images_done))
            for part, share in _PARTS.items():
                if part not in noted.calls and job.images_done >= share * images and not job.complete:
                    noted.calls[part] = time_calls(room)
                    noted.keys[part] = int(room.client.dbsize()) - int(room.client.zcard(CACHE_INDEX))
            if until(job):
                return
        time.sleep(_LOOK_S)


def neighbors_of_centers(embeddings: Float32, paths: list[RootPath], links: int) -> Neighbors:
    """The nearest of each face among those of its center."""
    centers = np.array([center_of(path) for path in paths])
    order = np.argsort(centers, kind="stable")
    bounds = np.searchsorted(centers[order], np.arange(CENTERS + 1))
    counts = np.minimum(np.diff(bounds)[centers] - 1, links)
    starts = np.zeros(len(paths) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    faces, distances = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.float32)
    for begin, end in pairwise(bounds.tolist()):
        some = order[begin:end]
        rows = np.asarray(embeddings[some])
        apart = np.sqrt(np.maximum(2 - 2 * (rows @ rows.T), 0))
        np.fill_diagonal(apart, np.inf)
        nearest = np.argsort(apart, axis=1, kind="stable")[:, : min(links, len(some) - 1)]
        for face, row, columns in zip(some, apart, nearest, strict=True):
            faces[starts[face] : starts[face + 1]] = some[columns]
            distances[starts[face] : starts[face + 1]] = row[columns]
    return Neighbors(starts, faces, distances)


def find_neighbors(room: Room, clock: Clock, images: int) -> None:
    """The seconds from the last image of a smaller job to its results, with the neighbors and groups of its faces."""
    listing, some = room.folder / "subset.txt", min(SUBSET, images)
    listing.write_text("".join(f"{found.path}\n" for found in islice(FolderSource.open(room.images).find(), some)))
    room.enqueue(JOB_OF_SUBSET, room.images, "--neighbors", NEIGHBORS, "--no-report", "--files", listing)
    clock.stage = f"work on the subset of {some:,}"
    while (job := room.load(JOB_OF_SUBSET)) is None or not (job.complete and job.state != JobState.ENQUEUING):
        clock.check()
        time.sleep(_LOOK_S)
    with clock.measured(f"tables, neighbors and groups of {some:,}"):
        while (job := room.load(JOB_OF_SUBSET)) is None or job.state != JobState.FINISHED:
            clock.check()
            if job is not None and job.problem:
                sys.exit(job.problem)
            time.sleep(_LOOK_S)


def group_all(room: Room, clock: Clock, images: int) -> int:
    """The seconds of neighbors and groups; returns the number of groups."""
    find_neighbors(room, clock, images)
    embeddings = np.load(room.results / JOB / EMBEDDINGS, mmap_mode="r")
    paths = [RootPath(found.path) for found in FolderSource.open(room.images).find()]
    clock.check()
    neighbors = neighbors_of_centers(embeddings, paths, LINKS)
    clock.check()
    with clock.measured("groups"):
        everyone = np.arange(len(neighbors))
        labels = link_neighbors(embeddings, neighbors, Copies(everyone, everyone), SAME_PERSON)
    return len(np.unique(labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the files are made; by default the temporary folder")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Terminated."))  # so that the server ends too
    clock = Clock(time.monotonic() + 60 * arguments.minutes)
    print(f"{describe_machine()}. {arguments.images:,} images, {arguments.processes} worker processes\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="million-", dir=arguments.folder) as folder:
        room, noted = Room(Path(folder), arguments.processes), Work()
        try:
            measure(room, noted, arguments.images, clock)
        except OutOfTime:
            done = noted.done[-1][1] if noted.done else 0
            print(
                f"Stopped after {arguments.minutes:g} minutes, in the stage: {clock.stage}. {done:,} images are done.\n"
            )
            print_stages(clock, arguments.images)
            if done:
                print_growth(room, noted)
        finally:
            room.close()


def measure(room: Room, noted: Work, images: int, clock: Clock) -> None:
    """Runs every stage, and prints the tables."""
    with clock.measured("making the files (not part of a job)"):
        make_files(room.images, images)
    with clock.measured("discovery alone"):
        assert sum(1 for _ in FolderSource.open(room.images).find()) == images
    work(room, noted, images, clock)
    with clock.measured("`enqueue` again: nothing has changed"):
        again = room.enqueue(JOB, room.images, "--neighbors", 0)
        room.watched.add("update", again.pid)
        while again.poll() is None:
            clock.check()
            time.sleep(_LOOK_S)
    if again.returncode:
        sys.exit(room.log_end(JOB))
    groups = group_all(room, clock, images)
    print_stages(clock, images)
    print_growth(room, noted)
    print_files(room.results / JOB, images)
    print_bounds(room, noted, clock, images, groups)


def print_stages(clock: Clock, images: int) -> None:
    """The seconds of each stage."""
    print("| stage | s | images/s |\n| --- | ---: | ---: |")
    for stage, seconds in clock.seconds.items():
        print(f"| {stage} | {seconds:.1f} | {images / max(seconds, 1e-9):,.0f} |")


def print_growth(room: Room, noted: Work) -> None:
    """What changes in the course of a job."""
    images = noted.done[-1][1]
    print("\n| while the job grows | start | middle | end |\n| --- | ---: | ---: | ---: |")
    thirds = [noted.between(*third) for third in _THIRDS]
    rates = [0.25 * images / max(until - since, 1e-9) for since, until in thirds]
    print(f"| images/s | {' | '.join(f'{rate:,.0f}' for rate in rates)} |")
    for role in _ROLES:
        cells = " | ".join(f"{room.watched.usual_mib(role, *third):.0f}" for third in thirds)
        print(f"| {role}, MiB | {cells} |")
    for role in _ROLES:
        cells = " | ".join(f"{1000 * room.watched.cpu_s(role, *third) / (0.25 * images):.2f}" for third in thirds)
        print(f"| {role}, processor time an image, ms | {cells} |")
    print(f"| keys of the job on the server | {' | '.join(str(noted.keys.get(part, '')) for part in _PARTS)} |")
    for call in next(iter(noted.calls.values()), {}):
        cells = " | ".join(f"{noted.calls[part][call]:.1f}" if part in noted.calls else "" for part in _PARTS)
        print(f"| {call}, ms | {cells} |")


def print_files(results: Path, images: int) -> None:
    """The size of each file and folder."""
    print("\n| on the disk | MiB | bytes an image |\n| --- | ---: | ---: |")
    for path in sorted(results.iterdir()):
        parts = path.rglob("*") if path.is_dir() else [path]
        size = sum(part.stat().st_size for part in parts if part.is_file())
        print(f"| {path.name} | {size / 2**20:.1f} | {size / images:.0f} |")


def print_bounds(room: Room, noted: Work, clock: Clock, images: int, groups: int) -> None:
    """Each promise, and whether it is kept."""
    rows = []

    def at_most(what: str, most: float, found: float, unit: str) -> None:
        rows.append((what, f"at most {most:,.0f} {unit}", f"{found:,.0f} {unit}", found <= most))

    at_most("memory of the producer", 150, room.watched.peak_mib("producer"), "MiB")
    at_most("memory of the server", 1024, room.watched.peak_mib("server"), "MiB")
    at_most("memory of the workers", 300, room.watched.peak_mib("workers"), "MiB")
    at_most("memory of the aggregator, tables", 1024, room.watched.peak_mib("aggregator", until=noted.published), "MiB")
    report = room.watched.peak_mib("aggregator", noted.published, noted.finished)
    at_most("memory of the aggregator, report", 1024, report, "MiB")
    second = room.watched.peak_mib("aggregator", noted.finished)
    at_most("memory of the aggregators, neighbors of the subset", 2048, second, "MiB")
    at_most("memory of an update without changes", 300, room.watched.peak_mib("update"), "MiB")
    first, last = (
        sum(room.watched.cpu_s(role, *noted.between(*third)) for role in _ROLES) for third in (_THIRDS[0], _THIRDS[-1])
    )
    if first > 1:  # otherwise the job is too short to tell
        at_most("processor time of the last images, of that of the first", 120, 100 * last / first, "%")
    at_most("aggregation", max(30.0, 600 * images / 1e6), clock.seconds["aggregation"], "s")
    at_most("groups", 30 * max(1.0, images / 100_000), clock.seconds["groups"], "s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    at_most("memory of this process, which finds the groups", 4096, peak, "MiB")
    print_targets(rows)
    (subset,) = (stage for stage in clock.seconds if stage.startswith("tables, neighbors and"))
    some = min(SUBSET, images)
    hours = clock.seconds[subset] * (images / some) ** 2 / 3600
    print(
        f"\n{groups:,} groups of {CENTERS:,} centers. Extrapolated from {some:,} faces with the square of their "
        f"number, the exact neighbors of {images:,} take {hours:.2f} hours of this machine."
    )


if __name__ == "__main__":
    main()
