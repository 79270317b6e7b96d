"""Images a second on one core, and seconds a stage, against facenet-pytorch in the same run.

    python benchmarks/stages.py IMAGES [--rounds 3]

Stock is MTCNN (defaults, keep_all, margin 0) and InceptionResnetV1, one image at a time, on one thread. The three take
turns, group by group of images, so that a drift of the machine hits all alike; the ratio is that of the medians over
the rounds.
"""

import argparse
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import torch
from PIL import Image, ImageOps

from benchmarks.machine import describe_machine
from benchmarks.targets import print_targets
from shared.config.settings import load_settings
from shared.domain.contract import KNOWN_WEIGHTS, Contract, Mode
from tests.support.baseline import baseline_detector, baseline_embedder
from worker.models.loader import load_networks
from worker.vision.decode import Limits
from worker.vision.pipeline import Networks, process_images

WEIGHTS = "casia-webface"
LIMITS = Limits(100 * 2**20, 100 * 10**6)
GROUP = 16


@dataclass
class Times:
    """Seconds of one round."""

    total: float = 0.0
    stages: dict[str, float] = field(default_factory=lambda: {"decode": 0.0, "detect": 0.0, "embed": 0.0})


def run_stock(paths: list[Path], times: Times) -> None:
    started = time.perf_counter()
    for path in paths:
        t0 = time.perf_counter()
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        t1 = time.perf_counter()
        faces: Any = baseline_detector()(image)
        t2 = time.perf_counter()
        if faces is not None:
            with torch.inference_mode():
                for face in faces:
                    baseline_embedder()(face[None])
        t3 = time.perf_counter()
        for stage, spent in (("decode", t1 - t0), ("detect", t2 - t1), ("embed", t3 - t2)):
            times.stages[stage] += spent
    times.total += time.perf_counter() - started


def run_ours(root: Path, paths: list[Path], times: Times, mode: Mode, networks: Networks) -> None:
    contract = Contract(faces="largest", mode=mode, margin_px=0, weights=WEIGHTS, weights_sha256=KNOWN_WEIGHTS[WEIGHTS])
    started = time.perf_counter()
    results = process_images(root, [str(path.relative_to(root)) for path in paths], networks, contract, LIMITS)
    times.total += time.perf_counter() - started
    for record in (result.record for result in results):
        times.stages["decode"] += record.decode_ms / 1000
        times.stages["detect"] += record.detect_ms / 1000
        times.stages["embed"] += record.embed_ms / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    root = arguments.images.resolve()
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    networks = load_networks(WEIGHTS, KNOWN_WEIGHTS[WEIGHTS], load_settings(), 1)
    run_stock(paths[:1], Times())
    rounds: dict[str, list[Times]] = {"facenet-pytorch": [], "exact": [], "fast": []}
    for _ in range(arguments.rounds):
        these = {name: Times() for name in rounds}
        for first in range(0, len(paths), GROUP):
            group = paths[first : first + GROUP]
            run_stock(group, these["facenet-pytorch"])
            run_ours(root, group, these["exact"], "exact", networks)
            run_ours(root, group, these["fast"], "fast", networks)
        for name, times in these.items():
            rounds[name].append(times)
    print(f"{len(paths)} images of {root.name}, {arguments.rounds} rounds, one thread. {describe_machine()}\n")
    print("| | decode, ms | detect, ms | embed, ms | images/s | speed-up |")
    print("| --- | --- | --- | --- | --- | --- |")
    times_stock: dict[str, float] = {}
    stock = statistics.median(times.total for times in rounds["facenet-pytorch"])
    for name, runs in rounds.items():
        total = statistics.median(times.total for times in runs)
        stages = [1000 * np.median([t.stages[s] for t in runs]) / len(paths) for s in ("decode", "detect", "embed")]
        cells = " | ".join(f"{value:.1f}" for value in stages)
        print(f"| {name} | {cells} | {len(paths) / total:.2f} | {stock / total:.1f} |")
        times_stock[name] = stock / total
    print_targets(
        [
            (f"{name}, speed-up", f"at least {target}", f"{times_stock[name]:.1f}", times_stock[name] >= target)
            for name, target in (("exact", 3), ("fast", 10))
        ]
    )


if __name__ == "__main__":
    main()
