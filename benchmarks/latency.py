"""Measures how long a user waits for `run`: until the first image is processed, from the last commit to the prompt, and
in total.

python benchmarks/latency.py IMAGES [--copies 1 4] [--rounds 3] [--no-loop]

The networks must have been converted before (any earlier `run` does that). Times are the median of the rounds, each in
a data folder of its own and without the cache of results; `--copies` are the files under other names. The plain loop is
the one of `scaling.py`: one process, models loaded once, facenet-pytorch's default threads.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.machine import describe_machine
from benchmarks.scaling import copy_images, plain_loop
from benchmarks.targets import print_targets

MOST_TO_FIRST_IMAGE_S, MOST_TO_PROMPT_S = 1.2, 0.5
LEAST_SPEED_UP = {1: 8.0, 4: 10.0}
"""By copies of the photographs: loading weighs less in a longer run."""


@dataclass(frozen=True)
class Waits:
    """The waiting times of one `run`, in seconds."""

    to_first_image: float
    """From the command until a worker process has leased the first batch."""
    to_results: float
    """From the last commit to the line `Results: ...`."""
    to_prompt: float
    """From the last commit to the end of the command."""
    whole: float


def measure(images: Path, folder: Path) -> Waits:
    """Runs the folder `images` once. `folder` is empty and takes data and results."""
    environment = os.environ | {"FACEQUEUE_STATE_DIR": str(folder / "state"), "FACEQUEUE_CACHE_TTL_S": "0"}
    environment.pop("REDIS_URL", None)
    command = [sys.executable, "-m", "producer", "run", str(images), "--results", str(folder / "out"), "--job", "job"]
    root = Path(__file__).parent.parent
    shown = None
    with (folder / "stderr").open("w") as log:
        began = time.time()
        process = subprocess.Popen(command, env=environment, cwd=root, stdout=subprocess.PIPE, stderr=log, text=True)
        for line in process.stdout or ():
            if line.startswith("Results:"):
                shown = time.time()
        code = process.wait()
        ended = time.time()
    if code not in (0, 3) or shown is None:
        raise SystemExit((folder / "stderr").read_text())
    workers = json.loads((folder / "out" / "job" / "summary.json").read_text())["workers"].values()
    first = min(datetime.fromisoformat(worker["first"]).timestamp() for worker in workers)
    last = max(datetime.fromisoformat(worker["last"]).timestamp() for worker in workers)
    return Waits(first - began, shown - last, ended - last, ended - began)


def median_of(rounds: list[Waits]) -> Waits:
    """The median of each wait."""
    names = Waits.__dataclass_fields__
    return Waits(**{name: statistics.median(getattr(waits, name) for waits in rounds) for name in names})


def _targets(copies: int, count: int, waits: Waits, times: float | None) -> list[tuple[str, str, str, bool]]:
    rows = [
        (f"{count} photographs: {what}", f"at most {most:g} s", f"{waited:.2f} s", waited <= most)
        for what, most, waited in (
            ("first image at work", MOST_TO_FIRST_IMAGE_S, waits.to_first_image),
            ("from the last commit to the prompt", MOST_TO_PROMPT_S, waits.to_prompt),
        )
    ]
    least = LEAST_SPEED_UP.get(copies)
    if times is not None and least is not None:
        what = f"{count} photographs: `run` against the baseline"
        rows.append((what, f"at least {least:g}", f"{times:.1f}", times >= least))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-loop", action="store_true")
    arguments = parser.parse_args()
    source, rows = arguments.images.resolve(), []
    print(f"{source.name}, {arguments.rounds} rounds. {describe_machine()}\n")
    print(
        "| photographs | first image at work, s | last commit to results, s | to the prompt, s | `run`, s "
        "| baseline, s | speed-up |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for copies in arguments.copies:
        with tempfile.TemporaryDirectory() as temporary:
            images = Path(temporary) / "images"
            images.mkdir()
            count = copy_images([source], images, copies)
            rounds = []
            for number in range(arguments.rounds):
                folder = Path(temporary) / str(number)
                folder.mkdir()
                rounds.append(measure(images, folder))
            waits, loop_s = median_of(rounds), 0.0
            if not arguments.no_loop:
                began = time.perf_counter()
                plain_loop(images)
                loop_s = time.perf_counter() - began
        times = loop_s / waits.whole
        cells = [waits.to_first_image, waits.to_results, waits.to_prompt]
        shown = " | ".join(f"{cell:.2f}" for cell in cells)
        print(f"| {count} | {shown} | {waits.whole:.1f} | {loop_s:.1f} | {times:.1f} |", flush=True)
        rows += _targets(copies, count, waits, times if loop_s else None)
    print_targets(rows)


if __name__ == "__main__":
    main()
