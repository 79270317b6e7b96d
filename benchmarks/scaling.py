"""Measures the whole `run`: processes, threads, batch sizes, queue cost, tail and memory, and the baseline loop.

    python benchmarks/scaling.py IMAGES [--copies 4] [--runs 1x1 1x2 2x1] [--batch-size 8 16 32] [--loop]

A run of 2x1 has two processes with one thread each. IMAGES are copied under different names, in an order that mixes
their sizes. Images per second are counted from the first batch that is leased to the last commit, without start-up.
--loop adds the baseline loop (one process, models loaded once, facenet-pytorch's default threads) and compares its
wall-clock time with that of the whole `run`.
"""

import argparse
import csv
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.machine import describe_machine
from benchmarks.targets import print_targets


@dataclass(frozen=True)
class Figures:
    """The results of one run."""

    images_per_s: float
    between_percent: float
    """The share of the workers' time that was spent neither in an image's stages nor on reading its bytes: the cost of
    the queue.
    """
    tail_percent: float
    """The share of the time, at the end, in which not all processes had work."""
    peak_mib: float
    """The memory of the largest worker process."""
    growth_percent: float
    """The growth from the median of the first third of the time to that of the last third."""
    clock_s: float


def copy_images(sources: list[Path], target: Path, copies: int) -> int:
    """Copies every file `copies` times under different names; returns the number of files."""
    count = 0
    for source in sources:
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            for number in range(copies):
                name = "-".join(path.relative_to(source).parts)
                mixed = hashlib.blake2b(f"{number}{source}{name}".encode(), digest_size=4).hexdigest()
                shutil.copyfile(path, target / f"{mixed}-{number}-{name}")
                count += 1
    return count


def run_job(images: Path, folder: Path, processes: int, threads: int, batch_size: int, distances: str) -> Figures:
    """Runs one job without the cache."""
    environment = os.environ | {
        "FACEQUEUE_STATE_DIR": str(folder / "state"),
        "FACEQUEUE_THREADS": str(threads),
        "FACEQUEUE_CACHE_TTL_S": "0",
    }
    environment.pop("REDIS_URL", None)
    job = f"w{processes}-t{threads}-b{batch_size}-{distances}"
    command = [
        sys.executable,
        "-m",
        "producer",
        "run",
        str(images),
        "--results",
        str(folder / "out"),
        "--job",
        job,
        "--workers",
        str(processes),
        "--batch-size",
        str(batch_size),
        "--distances",
        distances,
    ]
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    clock_s = time.perf_counter() - started
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    summary = json.loads((folder / "out" / job / "summary.json").read_text())
    workers = list(summary["workers"].values())
    first, *_ = sorted(datetime.fromisoformat(w["first"]) for w in workers)
    lasts = sorted(datetime.fromisoformat(w["last"]) for w in workers)
    busy = sum(w["busy_s"] for w in workers)
    stages = sum(w[f"{stage}_s"] for w in workers for stage in ("decode", "detect", "embed"))
    between = sum(w["commit_s"] + w["idle_s"] for w in workers) + busy - stages
    peak, growth = _memory(folder / "out" / job / "resources")
    return Figures(
        summary["images_per_s"],
        100 * between / (between + stages),
        100 * (lasts[-1] - lasts[0]) / (lasts[-1] - first),
        peak,
        growth,
        clock_s,
    )


def _memory(resources: Path) -> tuple[float, float]:
    rows: list[dict[str, Any]] = []
    for path in resources.glob("*.csv"):
        with path.open(newline="") as file:
            rows += [row for row in csv.DictReader(file) if row["role"] == "child"]
    children = [float(row["rss_mib"]) for row in rows]
    third = max(1, len(children) // 3)
    first, last = statistics.median(children[:third]), statistics.median(children[-third:])
    return max(children), 100 * (last / first - 1)


def plain_loop(images: Path) -> None:
    """The baseline loop: one process, models loaded once, default threads; every face is embedded."""
    code = """
import sys, torch
from pathlib import Path
from PIL import Image, ImageOps
from tests.support.baseline import baseline_detector, baseline_embedder
detector, embedder = baseline_detector(), baseline_embedder()
for path in sorted(p for p in Path(sys.argv[1]).rglob('*') if p.is_file()):
    faces = detector(ImageOps.exif_transpose(Image.open(path)).convert('RGB'))
    if faces is not None:
        with torch.inference_mode():
            embedder(faces)
"""
    subprocess.run([sys.executable, "-c", code, str(images)], check=True, cwd=Path(__file__).parent.parent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--runs", nargs="+", default=["1x1", "1x2", "2x1"])
    parser.add_argument("--batch-size", type=int, nargs="+", default=[16])
    parser.add_argument("--loop", action="store_true")
    arguments = parser.parse_args()
    sources = [path.resolve() for path in arguments.images]
    found: dict[tuple[str, int], Figures] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images = folder / "images"
        images.mkdir()
        count = copy_images(sources, images, arguments.copies)
        names = " and ".join(source.name for source in sources)
        print(f"{count} images ({arguments.copies} times {names}). {describe_machine()}\n")
        print(
            "| processes x threads | batch | images/s | queue, % | tail, % | peak MiB per process | memory growth, % |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for run in arguments.runs:
            processes, threads = map(int, run.split("x"))
            for batch_size in arguments.batch_size:
                figures = found[run, batch_size] = run_job(images, folder, processes, threads, batch_size, "none")
                print(
                    f"| {run} | {batch_size} | {figures.images_per_s:.2f} | {figures.between_percent:.1f} | "
                    f"{figures.tail_percent:.1f} | {figures.peak_mib:.0f} | {figures.growth_percent:+.1f} |",
                    flush=True,
                )
        _compare(found, count)
        if arguments.loop:
            _compare_with_loop(sources[0], folder)


def _compare(found: dict[tuple[str, int], Figures], images: int) -> None:
    rows = []
    for (run, batch_size), figures in found.items():
        one = found.get(("1x1", batch_size))
        if run == "2x1" and one is not None:
            times = figures.images_per_s / one.images_per_s
            rows.append(
                (f"speed-up of two processes, batches of {batch_size}", "at least 1.9", f"{times:.2f}", times >= 1.9)
            )
            tail = figures.tail_percent
            rows.append((f"tail of two processes, batches of {batch_size}", "under 5 %", f"{tail:.1f} %", tail < 5))
    share = min(figures.between_percent for figures in found.values())
    rows.append(("the queue's lowest share of a worker's time", "at most 5 %", f"{share:.1f} %", share <= 5))
    peak = max(figures.peak_mib for figures in found.values())
    rows.append(("memory of a worker process", "under 700 MiB", f"{peak:.0f} MiB", peak < 700))
    if images >= 3000:  # over fewer, the largest image so far decides
        growth = max(figures.growth_percent for figures in found.values())
        rows.append(("its growth, first to last thousand images", "under 5 %", f"{growth:+.1f} %", growth < 5))
    print_targets(rows)


def _compare_with_loop(images: Path, folder: Path) -> None:
    ours = run_job(images, folder, 0, 0, 16, "full").clock_s
    started = time.perf_counter()
    plain_loop(images)
    loop = time.perf_counter() - started
    print(f"\n{images.name} in elapsed time, loading included:\n")
    print("| | s |\n| --- | --- |")
    print(
        f"| baseline: facenet-pytorch, image by image | {loop:.1f} |\n| `run` | {ours:.1f} |\n| "
        f"speed-up | {loop / ours:.1f} |"
    )


if __name__ == "__main__":
    main()
