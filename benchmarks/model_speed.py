"""Compares the speed of models: `run` on photos, alternately with each.

    python benchmarks/model_speed.py DATA/humans [--model facenet sface] [--runs 5]

One worker process with one thread computes everything anew. Images/s are those of `summary.json`, from the first batch
to the last; the ratio to the first model is the median of the ratios of runs that follow each other.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.machine import describe_machine
from benchmarks.model_choice import add_models
from benchmarks.targets import print_targets

ROOT = Path(__file__).parent.parent
LEAST_RATIO = {"sface": 1.25}
_STAGES = ("decode", "detect", "embed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    add_models(parser, several=True, default=("facenet", "sface"))
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    summaries: dict[str, list[dict[str, Any]]] = {model: [] for model in arguments.model}
    with tempfile.TemporaryDirectory(prefix="model-speed-") as folder:
        for model in arguments.model:  # converts and compiles it
            run(Path(folder), arguments.photos, model)
        for _ in range(arguments.runs):
            for model, found in summaries.items():
                found.append(run(Path(folder), arguments.photos, model))
    print(f"{describe_machine()}\n\n| model | images/s | ratio | {' | '.join(f'{s}, ms' for s in _STAGES)} |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    rates = {model: [one["images_per_s"] for one in found] for model, found in summaries.items()}
    first = rates[arguments.model[0]]
    ratios = {model: statistics.median(a / b for a, b in zip(of, first, strict=True)) for model, of in rates.items()}
    for model, found in summaries.items():
        stages = (statistics.median(1000 * one["seconds"][name] / one["images"] for one in found) for name in _STAGES)
        cells = " | ".join(f"{value:.1f}" for value in stages)
        print(f"| {model} | {statistics.median(rates[model]):.1f} | {ratios[model]:.2f} | {cells} |")
    print_targets(
        [
            (f"{model}, times the images/s", f"at least {least}", f"{ratios[model]:.2f}", ratios[model] >= least)
            for model, least in LEAST_RATIO.items()
            if model in ratios
        ]
    )


def run(folder: Path, photos: Path, model: str) -> dict[str, Any]:
    """The summary of a job that computes everything."""
    command = [sys.executable, "-m", "producer", "run", str(photos.resolve()), "--model", model, "--workers", "1"]
    options = ["--job", "speed", "--fresh", "--no-report", "--results", str(folder / "results")]
    environment = os.environ | {
        "FACEQUEUE_STATE_DIR": str(folder / "state"),
        "FACEQUEUE_THREADS": "1",
        "FACEQUEUE_CACHE_TTL_S": "0",
        "PYTHONPATH": str(ROOT),
    }
    environment.pop("REDIS_URL", None)
    done = subprocess.run([*command, *options], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        sys.exit(done.stderr)
    summary: dict[str, Any] = json.loads((folder / "results" / "speed" / "summary.json").read_text())
    return summary


if __name__ == "__main__":
    main()
