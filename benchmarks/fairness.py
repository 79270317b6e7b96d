"""Measures how jobs share workers: a small job behind a large one, a normal job beside high ones, and three equal jobs.

    python benchmarks/fairness.py [--processes 4] [--image-ms 10] [--only small shares equal]

Only decoding, detecting and embedding are simulated (`benchmarks/simulated_worker.py`): an image takes `--image-ms` of
one process's time and no processor time. The large job has 100,000 images. It is cancelled when the small one is done.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.machine import describe_machine
from benchmarks.simulated_room import SimulatedRoom, make_files, wait_until
from benchmarks.targets import print_targets
from shared.domain.job import JobState
from shared.domain.queues import EMBED
from shared.store.jobs import JobRecord, list_jobs

LARGE, MIDDLE, SMALL = 100_000, 3_000, 10
SHARES_S = 20.0
_SMALL_S = 10.0


def enqueue(room: SimulatedRoom, job: str, folder: str, *options: str) -> None:
    """Starts a producer; returns when it has filled its window, or is done."""
    begin_to_enqueue(room, job, folder, *options)
    wait_until(lambda: any(said in room.log(job) for said in (" images in ", "waiting for workers")))


def begin_to_enqueue(room: SimulatedRoom, job: str, folder: str, *options: str) -> None:
    """Starts a producer."""
    room.enqueue(job, room.images / folder, "--no-report", "--neighbors", 0, *options)


def images_done(room: SimulatedRoom, *jobs: str) -> list[int]:
    """How many images of these jobs are done."""
    return [JobRecord(room.client, job).load().images_done for job in jobs]


def is_finished(room: SimulatedRoom, job: str) -> bool:
    """Whether a job has ended."""
    record = room.load(job)
    return record is not None and record.state == JobState.FINISHED


def cancel_all(room: SimulatedRoom) -> None:
    """Cancels every unfinished job."""
    for job in list_jobs(room.client):
        JobRecord(room.client, job.name).delete()
    room.client.delete(EMBED)


def small_behind_large(room: SimulatedRoom) -> list[tuple[str, str, str, bool]]:
    """How long a job of 10 images takes behind one of 100,000."""
    enqueue(room, "large", "large")
    started = time.monotonic()
    enqueue(room, "small", "small")
    wait_until(lambda: is_finished(room, "small"))
    took_s, (done,) = time.monotonic() - started, images_done(room, "large")
    cancel_all(room)
    what = f"{SMALL} images behind {LARGE}, of which {done} were done then"
    return [(what, f"at most {_SMALL_S:.0f} s", f"{took_s:.1f} s", took_s <= _SMALL_S)]


def shares(room: SimulatedRoom) -> list[tuple[str, str, str, bool]]:
    """What a normal job gets beside two high ones, all with enough images."""
    enqueue(room, "normal", "large")
    for job in ("high-1", "high-2"):
        enqueue(room, job, "large", "--priority", "high")
    jobs = ("normal", "high-1", "high-2")
    before = images_done(room, *jobs)
    time.sleep(SHARES_S)
    normal, *high = (after - count for after, count in zip(images_done(room, *jobs), before, strict=True))
    cancel_all(room)
    share, even = normal / (normal + sum(high)), max(high) / min(high)
    return [
        ("a normal job beside two high ones", "at least 10 %", f"{100 * share:.1f} %", share >= 0.1),
        ("the faster of the two to the slower", "at most 1.05", f"{even:.2f}", even <= 1.05),
    ]


def equal(room: SimulatedRoom) -> list[tuple[str, str, str, bool]]:
    """When three jobs of the same size finish that are enqueued at the same time."""
    started = time.monotonic()
    jobs = ("first", "second", "third")
    for job in jobs:
        begin_to_enqueue(room, job, "middle")
    wait_until(lambda: all(is_finished(room, job) for job in jobs))
    ended_ms = [JobRecord(room.client, job).load().ended_ms or 0 for job in jobs]
    took_s, apart_s = time.monotonic() - started, (max(ended_ms) - min(ended_ms)) / 1000
    what = f"three jobs of {MIDDLE} images end so long after each other"
    return [(what, "at most a tenth", f"{apart_s:.1f} of {took_s:.1f} s", apart_s <= took_s / 10)]


_PARTS: dict[str, Callable[[SimulatedRoom], list[tuple[str, str, str, bool]]]] = {
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
        seconds = str(given.image_ms / 1000)
        room = SimulatedRoom(Path(temporary), given.processes, 1, SIMULATED_IMAGE_S=seconds, FACEQUEUE_CACHE_TTL_S="0")
        try:
            for name, number in (("large", LARGE), ("middle", MIDDLE), ("small", SMALL)):
                make_files(room.images / name, number)
            rows = [row for part in given.only for row in _PARTS[part](room)]
        finally:
            room.close()
    print(f"{describe_machine()}; {given.processes} processes, an image takes {given.image_ms:g} ms")
    print_targets(rows)


if __name__ == "__main__":
    main()
