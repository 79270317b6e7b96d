"""A distance matrix larger than the memory, by tiles through the queue: `python benchmarks/large_matrix.py`.

The pipeline is simulated (`benchmarks/simulated_worker.py`), with one face in each image. When a third of the tiles are
done, one of the processes that compute them is killed. In the end, some rows are compared with the distances of their
embeddings, bit by bit. The results take 4 bytes for each pair: 37 GiB for 100,000 faces. Linux only.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import psutil

from benchmarks.machine import describe_machine
from benchmarks.processes_over_time import ProcessesOverTime
from benchmarks.simulated_room import SimulatedRoom, make_files, wait_until
from benchmarks.targets import print_targets
from shared.domain.job import JobState
from shared.results.distance_tiles import euclidean_tile, one_blas_thread
from shared.results.schema import DISTANCES, EMBEDDINGS

JOB = "matrix"
CHECKED_ROWS = 64
_ROWS_AT_A_TIME = 4096
_WRITTEN_MIB = 2048
_LIMIT_S = 3600.0


def disk_mib_per_s(folder: Path) -> float:
    """How fast a new file is written there, without other work."""
    block = os.urandom(2**20)
    path, started = folder / "speed", time.perf_counter()
    with path.open("wb") as file:
        for _ in range(_WRITTEN_MIB):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    took_s = time.perf_counter() - started
    path.unlink()
    return _WRITTEN_MIB / took_s


def kill_a_process(room: SimulatedRoom, tiles: int) -> None:
    """Kills a process of the aggregator when a third of the tiles are done."""

    def third_is_done() -> bool:
        job = room.load(JOB)
        return job is not None and job.tiles_done * 3 >= job.tiles > 0

    wait_until(third_is_done, _LIMIT_S)
    busiest = max(psutil.Process(room.aggregator.pid).children(), key=lambda child: sum(child.cpu_times()[:2]))
    os.kill(busiest.pid, signal.SIGKILL)


def wrong_rows(folder: Path, faces: int) -> int:
    """How many of some rows differ from the distances of their embeddings."""
    embeddings = np.load(folder / EMBEDDINGS, mmap_mode="r")
    matrix = np.load(folder / DISTANCES, mmap_mode="r")
    assert matrix.shape == (faces, faces) and matrix.dtype == np.float32
    rows = np.random.default_rng(0).choice(faces, min(faces, CHECKED_ROWS), replace=False)
    wrong = np.zeros(len(rows), bool)
    with one_blas_thread():
        for first in range(0, faces, _ROWS_AT_A_TIME):
            some = slice(first, first + _ROWS_AT_A_TIME)
            expected = euclidean_tile(np.asarray(embeddings[rows]), np.asarray(embeddings[some]))
            wrong |= (matrix[rows, some] != expected).any(axis=1)
    return int(wrong.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where results are written; by default the temporary folder")
    arguments = parser.parse_args()
    faces = arguments.faces
    with tempfile.TemporaryDirectory(prefix="matrix-", dir=arguments.folder) as temporary:
        disk = disk_mib_per_s(Path(temporary))
        room, watched = SimulatedRoom(Path(temporary), arguments.processes, arguments.processes), ProcessesOverTime()
        try:
            watched.add("aggregator", room.aggregator.pid)
            make_files(room.images, faces)
            room.enqueue(JOB, room.images, "--neighbors", 0, "--no-report", distances="full")
            wait_until(lambda: (job := room.load(JOB)) is not None and job.tiles, _LIMIT_S)
            started = time.monotonic()
            job = room.load(JOB)
            assert job is not None
            kill_a_process(room, job.tiles)
            wait_until(lambda: (job := room.load(JOB)) is None or not job.comparing, _LIMIT_S)
            tiles_s = time.monotonic() - started
            wait_until(lambda: (job := room.load(JOB)) is None or job.state == JobState.FINISHED, _LIMIT_S)
            took_s = time.monotonic() - started
        finally:
            watched.stop()
            room.close()
        wrong = wrong_rows(room.results / JOB, faces)
    mib = faces**2 * 4 / 2**20
    print(f"{describe_machine()}. {faces:,} faces, {arguments.processes} processes\n")
    print("| tiles | killed | matrix, MiB | tiles, s | until finished, s | MiB/s | the disk alone, MiB/s |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    print(f"| {job.tiles} | 1 process | {mib:,.0f} | {tiles_s:.1f} | {took_s:.1f} | {mib / took_s:.0f} | {disk:.0f} |")
    peak = watched.peak_mib("aggregator") / arguments.processes
    print_targets(
        [
            (f"rows that differ, of {min(faces, CHECKED_ROWS)}", "0", f"{wrong}", wrong == 0),
            ("memory of a process", "at most 1024 MiB", f"{peak:.0f} MiB", peak <= 1024),
        ]
    )


if __name__ == "__main__":
    main()
