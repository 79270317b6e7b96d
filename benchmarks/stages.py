"""How long each stage takes on one core, against facenet-pytorch in the same run, and how often the box is the same.

    python benchmarks/stages.py IMAGES [--rounds 3] [--compare FOLDER ...]

The baseline is MTCNN (defaults, keep_all, margin 0) and InceptionResnetV1, one image at a time, on one thread. All take
turns, group by group of images, so that a drift of the machine hits all alike; each first repeats some images of the
group before without being timed, because a machine may take memory from a process that waits. The speed-up is that of
the medians over the rounds. `--compare` lists the images of these folders whose box or embedding differs from that of
`--exact`.
"""

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial
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
from shared.domain.contract import KNOWN_WEIGHTS, Contract, FacePolicy, Mode
from tests.support.baseline import baseline_detector, baseline_embedder
from worker.models.loader import load_networks
from worker.vision.decode import Limits
from worker.vision.pipeline import Networks, Result, process_images

WEIGHTS = "casia-webface"
LIMITS = Limits(100 * 2**20, 100 * 10**6)
GROUP = 16
UNTIMED = 4
BASELINE = "facenet-pytorch"
OURS: dict[str, tuple[FacePolicy, Mode]] = {
    "`--faces largest` (default)": ("largest", "fast"),
    "`--faces center`": ("center", "fast"),
    "`--faces all`": ("all", "exact"),
    "`--faces largest --exact`": ("largest", "exact"),
}
Targets = list[tuple[str, str, str, bool]]
SPEED_TARGETS = dict(zip(OURS, (10.5, 10.5, 3, 3), strict=True))


@dataclass
class Times:
    """Seconds of one round."""

    total: float = 0.0
    stages: dict[str, float] = field(default_factory=lambda: {"decode": 0.0, "detect": 0.0, "embed": 0.0})

    def add(self, other: "Times") -> None:
        self.total += other.total
        for stage, spent in other.stages.items():
            self.stages[stage] += spent


def run_baseline(paths: list[Path]) -> Times:
    torch.set_num_threads(1)
    times = Times()
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
    return times


def run_ours(root: Path, paths: list[Path], faces: FacePolicy, mode: Mode, networks: Networks) -> list[Result]:
    contract = Contract(faces=faces, mode=mode, margin_px=0, weights=WEIGHTS, weights_sha256=KNOWN_WEIGHTS[WEIGHTS])
    return process_images(root, [str(path.relative_to(root)) for path in paths], networks, contract, LIMITS)


@cache
def own_networks() -> Networks:
    """This process's networks."""
    torch.set_num_threads(1)
    return load_networks(WEIGHTS, KNOWN_WEIGHTS[WEIGHTS], load_settings(), 1)


def time_ours(root: Path, paths: list[Path], faces: FacePolicy, mode: Mode) -> Times:
    networks, times = own_networks(), Times()
    started = time.perf_counter()
    results = run_ours(root, paths, faces, mode, networks)
    times.total += time.perf_counter() - started
    for record in (result.record for result in results):
        times.stages["decode"] += record.decode_ms / 1000
        times.stages["detect"] += record.detect_ms / 1000
        times.stages["embed"] += record.embed_ms / 1000
    return times


def print_speed(root: Path, rounds: int) -> Targets:
    """The table of stages; the rows of targets."""
    paths = _images(root)
    measured: dict[str, list[Times]] = {name: [] for name in (BASELINE, *OURS)}
    with ExitStack() as stack:
        # Each in a process of its own, as in use: they would share settings of memory and compiled shapes of networks.
        process = {
            name: stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))) for name in measured
        }
        runs: dict[str, Callable[[list[Path]], Times]] = {BASELINE: run_baseline} | {
            name: partial(time_ours, root, faces=faces, mode=mode) for name, (faces, mode) in OURS.items()
        }
        for name, run in runs.items():
            process[name].submit(run, paths[:GROUP]).result()
        for _ in range(rounds):
            these = {name: Times() for name in measured}
            for first in range(0, len(paths), GROUP):
                for name, run in runs.items():
                    process[name].submit(run, paths[max(0, first - UNTIMED) : first] or paths[:UNTIMED]).result()
                    these[name].add(process[name].submit(run, paths[first : first + GROUP]).result())
            for name, times in these.items():
                measured[name].append(times)
    print(f"{len(paths)} images of {root.name}, {rounds} rounds, one thread. {describe_machine()}\n")
    print("| | decode, ms | detect, ms | embed, ms | images/s | speed-up |")
    print("| --- | --- | --- | --- | --- | --- |")
    baseline = statistics.median(times.total for times in measured[BASELINE])
    speed_ups = {}
    for name, runs in measured.items():
        total = statistics.median(times.total for times in runs)
        stages = [1000 * np.median([t.stages[s] for t in runs]) / len(paths) for s in ("decode", "detect", "embed")]
        cells = " | ".join(f"{value:.1f}" for value in stages)
        speed_ups[name] = baseline / total
        print(f"| {name} | {cells} | {len(paths) / total:.2f} | {speed_ups[name]:.1f} |", flush=True)
    return [
        (f"speed-up of {name}", f"at least {target}", f"{speed_ups[name]:.1f}", speed_ups[name] >= target)
        for name, target in SPEED_TARGETS.items()
    ]


def print_identity(folders: list[Path], networks: Networks) -> Targets:
    """The table of identical boxes; the rows of targets."""
    print("\nIdentical to `--exact`: the box to 0.01 px and the cosine of the embeddings at least 0.9999.\n")
    print("| folder | faces | images | identical | worst cosine | another face, or none | differing images |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    targets = []
    for folder in folders:
        for policy in ("largest", "center"):
            differing, faces, worst, missed = [], 0, 1.0, 0
            for path in _images(folder):
                (fast,) = run_ours(folder, [path], policy, "fast", networks)  # type: ignore[arg-type]
                (exact,) = run_ours(folder, [path], policy, "exact", networks)  # type: ignore[arg-type]
                reason, cosine = compare(fast, exact)
                faces += len(exact.embeddings) > 0
                worst = min(worst, cosine)
                missed += fast.record.outcome != exact.record.outcome
                if reason:
                    differing.append(f"{path.name}: {reason}")
            images = len(_images(folder))
            share = 1 - len(differing) / images
            print(
                f"| {folder.name} | {policy} | {images} ({faces} with a face) | {share:.2%} | {worst:.6f} | {missed} | "
                f"{'; '.join(differing) or 'none'} |",
                flush=True,
            )
            targets.append((f"{folder.name}, {policy}: identical", "at least 99.5 %", f"{share:.2%}", share >= 0.995))
            targets.append((f"{folder.name}, {policy}: missed or added", "0", str(missed), missed == 0))
    return targets


def compare(fast: Result, exact: Result) -> tuple[str, float]:
    """What differs, in words ("" if nothing), and the cosine of the two embeddings (1 where there are none)."""
    if fast.record.outcome != exact.record.outcome:
        return f"{fast.record.outcome} instead of {exact.record.outcome}", 1.0
    if not len(exact.embeddings):
        return "", 1.0
    cosine = float(fast.embeddings[0] @ exact.embeddings[0])
    boxes = [np.array(result.record.faces[0][:4]) for result in (fast, exact)]
    distance = float(np.abs(boxes[0] - boxes[1]).max())
    if distance <= 0.01 and cosine >= 0.9999:
        return "", cosine
    sides = " instead of ".join(f"{box[3] - box[1]:.0f} px high" for box in boxes)
    return f"box {distance:.2f} px away ({sides}), cosine {cosine:.4f}", cosine


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compare", type=Path, nargs="*", default=[], metavar="FOLDER")
    arguments = parser.parse_args()
    targets = print_speed(arguments.images.resolve(), arguments.rounds)
    if arguments.compare:
        targets += print_identity([folder.resolve() for folder in arguments.compare], own_networks())
    print_targets(targets)


if __name__ == "__main__":
    main()
