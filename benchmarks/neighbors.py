"""Time and memory of the search for nearest neighbors: `python benchmarks/neighbors.py [FACES ...]`.

Times are ratios to the bare product of half of the pair matrix in float32 on the same cores, which is measured just
before. Made-up faces: about 20 around each center, spread as FaceNet's embeddings are ("FaceNet"), or alike in all 512
dimensions, which is the hardest case ("alike"). The tiles are those of the second stage of a job, in processes of
one core each; the files of candidates are written and read. Each number of processes is measured once, so run it on an
idle machine. Linux only.
"""

import argparse
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.groups import made_up_faces
from benchmarks.machine import describe_machine
from benchmarks.targets import print_targets
from shared.analysis.near_pairs import merged
from shared.domain.arrays import Float32
from shared.domain.cpu_limits import usable_cores
from shared.results.distance_tiles import one_blas_thread
from shared.results.neighbors_file import NeighborsWriter
from tests.support.made_up_blocks import sealed_job
from worker.aggregation.hidden_names import stage_folder
from worker.aggregation.pair_stage import PairStage

TARGET_RATIO, TARGET_SPEEDUP, TARGET_MIB, TARGET_S = 1.5, 1.9, 1024, 120
_BARE_ROWS = 4096


def bare_product_s(embeddings: Float32, cores: int) -> float:
    """Seconds of BLAS for half of the pair matrix on this many cores, one thread each."""
    with multiprocessing.get_context("fork").Pool(cores, *_one_core_each("fork")) as pool:
        times = pool.map(_multiply, [embeddings[:_BARE_ROWS]] * cores, chunksize=1)
    return float(np.mean(times)) * (len(embeddings) / _BARE_ROWS) ** 2 / 2 / cores


def _multiply(part: Float32) -> float:
    out = np.empty((len(part), len(part)), np.float32)
    times = []
    with one_blas_thread():
        for _ in range(5):
            started = time.perf_counter()
            np.matmul(part, part[::-1].T, out=out)
            times.append(time.perf_counter() - started)
    return float(np.median(times))


def begin(embeddings: Float32, folder: Path, block_rows: int) -> PairStage:
    """The second stage of a job with these faces."""
    job = replace(sealed_job(len(embeddings), "none"), batches=1)
    stage = PairStage.begin(job, [embeddings], folder, 0, block_rows)
    assert stage is not None and stage.folder == stage_folder(job, folder)
    return stage


def screen(stage: PairStage, processes: int) -> tuple[float, float]:
    """Computes all tiles; seconds, and the peak memory of a process in MiB."""
    for path in stage.folder.glob("tile-*.pairs"):
        path.unlink()
    started = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(processes, *_one_core_each("spawn")) as pool:
        pool.starmap(_nothing, [()] * processes)  # they have started
        started = time.perf_counter()
        peaks = pool.starmap(_compute, [(stage, tile) for tile in range(stage.plan.tiles)], chunksize=1)
    return time.perf_counter() - started, max(peaks)


def _one_core_each(method: str) -> tuple[Callable[..., None], tuple[Any, ...]]:
    """What each process of a pool does first: it takes one of the cores, so that its threads have no second one."""
    free = multiprocessing.get_context(method).Queue()
    for core in sorted(os.sched_getaffinity(0)):
        free.put(core)
    return _take_core, (free,)


def _take_core(free: Any) -> None:
    os.sched_setaffinity(0, {free.get()})


def _nothing() -> None:
    pass


def _compute(stage: PairStage, tile: int) -> float:
    stage.compute(tile, 1)
    return _private_mib()


def _private_mib() -> float:
    """The most memory of this process so far, without the pages of mapped files."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    mapped = int(status["RssFile"].split()[0])
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - mapped) / 1024


def merge(stage: PairStage, threads: int) -> float:
    """Merges the candidates into a file, on as many cores as there are threads; seconds."""
    cores, plan = os.sched_getaffinity(0), stage.plan.pairs
    assert plan is not None
    os.sched_setaffinity(0, sorted(cores)[:threads])
    started = time.perf_counter()
    with NeighborsWriter(stage.folder / "merged.npz", plan.faces) as file:
        for rows in merged(stage.embeddings, plan.blocks, partial(stage.candidates_of, plan), plan.wanted, threads):
            file.add(rows)
    took_s = time.perf_counter() - started
    os.sched_setaffinity(0, cores)
    (stage.folder / "merged.npz").unlink()
    return took_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=int, nargs="*", default=[30_000, 100_000])
    parser.add_argument("--spread", nargs="+", choices=["FaceNet", "alike"], default=["FaceNet", "alike"])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, usable_cores()])
    parser.add_argument("--block-rows", type=int, default=8192)
    arguments = parser.parse_args()
    print(describe_machine())
    targets: list[tuple[str, str, str, bool]] = []
    for size, spread in product(arguments.faces, arguments.spread):
        embeddings, times, bares = made_up_faces(size, like_facenet=spread == "FaceNet"), {}, {}
        what = f"{size:,} faces, {spread}"
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            stage = begin(embeddings, Path(folder), arguments.block_rows)
            print(
                f"\n{what}: writing the embeddings and their projections took {time.perf_counter() - started:.1f} s\n"
            )
            print("| faces | spread | processes | tiles, s | merge, s | bare product, s | ratio | a process, MiB |")
            print("| --- | --- | --- | --- | --- | --- | --- | --- |")
            for processes in arguments.processes:
                bare = bares[processes] = bare_product_s(embeddings, processes)
                tiles_s, mib = screen(stage, processes)
                merge_s = merge(stage, processes)
                times[processes] = tiles_s + merge_s
                ratio = times[processes] / bare
                print(
                    f"| {size:,} | {spread} | {processes} | {tiles_s:.1f} | {merge_s:.1f} | {bare:.1f} "
                    f"| {ratio:.2f} | {mib:.0f} |",
                    flush=True,
                )
                name = f"{what}, {processes} processes"
                targets.append((f"{name}: ratio", f"{TARGET_RATIO}", f"{ratio:.2f}", ratio <= TARGET_RATIO))
                targets.append((f"{name}: MiB of a process", f"{TARGET_MIB}", f"{mib:.0f}", mib < TARGET_MIB))
            shutil.rmtree(stage.folder)
        if {1, 2} <= times.keys():
            speedup, of_bare = times[1] / times[2], bares[1] / bares[2]
            name = f"{what}: two against one (bare product: {of_bare:.2f})"
            targets.append((name, f"{TARGET_SPEEDUP}", f"{speedup:.2f}", speedup >= TARGET_SPEEDUP))
        if size == 100_000:
            best = min(times.values())
            targets.append((f"{what}: s", f"{TARGET_S}", f"{best:.0f}", best <= TARGET_S))
    print_targets(targets)


if __name__ == "__main__":
    main()
