"""The whole `run`, with one worker process and with more: images a second, the queue's share, memory.

    python benchmarks/scaling.py IMAGES [--copies 4] [--workers 1 2] [--loop]

IMAGES are copied under different names, so that nothing is found in a cache. Images a second are counted from the first
batch taken to the last committed; start-up is left out. --loop adds the plain loop of one process with facenet-pytorch's default threads.
"""

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.machine import describe_machine


def copy_images(source: Path, target: Path, copies: int) -> int:
    """Every file `copies` times under different names; returns how many."""
    count = 0
    for number in range(copies):
        for path in sorted(source.rglob("*")):
            if path.is_file():
                name = f"{number}-" + "-".join(path.relative_to(source).parts)
                shutil.copyfile(path, target / name)
                count += 1
    return count


def run_job(images: Path, folder: Path, workers: int, batch_size: int) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Summary and resource samples of one run."""
    environment = os.environ | {"FACEQUEUE_STATE_DIR": str(folder / "state")}
    environment.pop("REDIS_URL", None)
    job = f"w{workers}-b{batch_size}"
    command = [sys.executable, "-m", "producer", "run", str(images), "--results", str(folder / "out"), "--job", job,
               "--workers", str(workers), "--batch-size", str(batch_size), "--distances", "none"]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    summary = json.loads((folder / "out" / job / "summary.json").read_text())
    samples: list[dict[str, str]] = []
    for path in (folder / "out" / job / "resources").glob("*.csv"):
        with path.open(newline="") as file:
            samples += list(csv.DictReader(file))
    return summary, samples


def memory(samples: list[dict[str, str]]) -> tuple[float, float, float]:
    """Of the worker processes, MiB: the peak, and the medians of the middle and of the last third of the time."""
    children = [float(row["rss_mib"]) for row in samples if row["role"] == "child"]
    third = max(1, len(children) // 3)
    return max(children), statistics.median(children[third : 2 * third]), statistics.median(children[-third:])


def plain_loop(images: Path) -> float:
    """Images a second of the study's second program: one process, models loaded once, default threads, no sleeps."""
    code = """
import sys, time, torch
from pathlib import Path
from PIL import Image, ImageOps
from tests.stock import stock_detector, stock_embedder
detector, embedder = stock_detector(), stock_embedder()
paths = sorted(p for p in Path(sys.argv[1]).rglob('*') if p.is_file())
started = time.perf_counter()
for path in paths:
    faces = detector(ImageOps.exif_transpose(Image.open(path)).convert('RGB'))
    if faces is not None:
        with torch.inference_mode():
            embedder(faces)
print(len(paths) / (time.perf_counter() - started))
"""
    command = [sys.executable, "-c", code, str(images)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch-size", type=int, nargs="+", default=[16])
    parser.add_argument("--loop", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images = folder / "images"
        images.mkdir()
        count = copy_images(arguments.images.resolve(), images, arguments.copies)
        print(f"{count} images ({arguments.copies} times {arguments.images.name}). {describe_machine()}\n")
        print(
            "| processes | batch | images/s | times one | commit + idle, % | peak MiB | MiB, middle third | MiB, last third |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        one: dict[int, float] = {}
        for workers in arguments.workers:
            for batch_size in arguments.batch_size:
                summary, samples = run_job(images, folder, workers, batch_size)
                rate = summary["images_per_s"]
                first = one.setdefault(batch_size, rate)
                figures = summary["workers"].values()
                between = sum(w["commit_s"] + w["idle_s"] for w in figures)
                share = 100 * between / (between + sum(w["busy_s"] for w in figures))
                peak, middle, last = memory(samples)
                print(
                    f"| {workers} | {batch_size} | {rate:.2f} | {rate / first:.2f} | {share:.1f} | {peak:.0f} | {middle:.0f} | {last:.0f} |",
                    flush=True,
                )
        if arguments.loop:
            started = time.perf_counter()
            rate = plain_loop(arguments.images.resolve())
            print(
                f"\nThe plain loop of one process: {rate:.2f} images/s ({time.perf_counter() - started:.0f} s with loading)."
            )


if __name__ == "__main__":
    main()
