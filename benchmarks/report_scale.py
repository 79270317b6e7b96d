"""Measures the report and `neighbors` on made-up results of many faces.

    python benchmarks/report_scale.py [--faces 100000] [--pictures 20000]

CPU seconds are those of the command alone, private memory is what the machine must have. Linux only.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.machine import describe_machine
from benchmarks.made_up_people import write_made_up_people
from benchmarks.made_up_results import face_path
from benchmarks.peak_memory import peak_memory

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--pictures", type=int, default=20_000)
    arguments = parser.parse_args()
    print(f"{describe_machine()}\n")
    print("| command | faces | s | CPU s | private, MiB |\n| --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "large"
        write_made_up_people(folder, arguments.faces, arguments.pictures)
        image = face_path(arguments.faces // 2)
        commands = {
            "report": ["shared.report", str(folder), "--report-faces", str(arguments.pictures)],
            "neighbors": ["producer", "neighbors", folder.name, image, "--csv", "--results", temporary],
        }
        for name, command in commands.items():
            before, started = _cpu_s(), time.perf_counter()
            peak = peak_memory([sys.executable, "-m", *command], ROOT, PYTHONPATH=str(ROOT))
            if peak.exit_code:
                raise SystemExit(f"{name} ended with code {peak.exit_code}")
            spent, cpu = time.perf_counter() - started, _cpu_s() - before
            print(f"| {name} | {arguments.faces:,} | {spent:.1f} | {cpu:.1f} | {peak.private:.0f} |", flush=True)
        files = [path.stat().st_size for path in (folder / "report").rglob("*") if path.is_file()]
        print(f"\n{len(files)} files of the report: {sum(files) / 2**20:.0f} MiB")


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
