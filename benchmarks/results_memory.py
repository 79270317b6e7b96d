"""Measures the memory of the commands that read results, on made-up results: `neighbors`, the report, `run`'s summary
and `groups`.

    python benchmarks/results_memory.py [--faces 300000] [--groups-of 12000]

Private memory is what the machine must have. It does not include pages of the mapped arrays. `groups` compares every
pair of faces, so it gets fewer faces. Linux only.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.machine import describe_machine
from benchmarks.made_up_results import face_path, write_made_up_results
from benchmarks.peak_memory import peak_memory
from benchmarks.targets import print_targets

ROOT = Path(__file__).parent.parent
# As in `run`: with the whole command line loaded.
SUMMARY = (
    "import sys, producer.cli; from pathlib import Path; from producer.console.summary import "
    "print_summary; print_summary(Path(sys.argv[1]))"
)


def commands(folder: Path, faces: int) -> dict[str, list[str]]:
    """The commands to measure on this results folder, by name."""
    producer = [sys.executable, "-m", "producer"]
    found = ["--csv", "--results", str(folder.parent)]
    return {
        "neighbors": [*producer, "neighbors", folder.name, face_path(faces // 2), *found],
        "report": [sys.executable, "-m", "shared.report", str(folder)],
        "summary": [sys.executable, "-c", SUMMARY, str(folder)],
        "groups": [*producer, "groups", folder.name, *found],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=300_000)
    parser.add_argument("--groups-of", type=int, default=12_000)
    arguments = parser.parse_args()
    print(f"{describe_machine()}\n")
    print("| command | faces | private, MiB | resident, MiB | s |\n| --- | --- | --- | --- | --- |", flush=True)
    targets = {"neighbors": 512, "report": 512, "summary": 154, "groups": 512}
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for faces, names in ((arguments.faces, ("neighbors", "report", "summary")), (arguments.groups_of, ("groups",))):
            folder = Path(temporary) / f"faces-{faces}"
            write_made_up_results(folder, faces)
            for name in names:
                started = time.perf_counter()
                peak = peak_memory(commands(folder, faces)[name], ROOT, PYTHONPATH=str(ROOT))
                spent_s = time.perf_counter() - started
                if peak.exit_code:
                    raise SystemExit(f"{name} ended with code {peak.exit_code}")
                print(f"| {name} | {faces:,} | {peak.private:.0f} | {peak.resident:.0f} | {spent_s:.1f} |", flush=True)
                target = targets[name]
                rows.append(
                    (
                        f"private memory of {name}",
                        f"under {target} MiB",
                        f"{peak.private:.0f} MiB",
                        peak.private < target,
                    )
                )
    print_targets(rows)


if __name__ == "__main__":
    main()
