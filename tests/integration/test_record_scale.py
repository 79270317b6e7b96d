"""The benchmark of the job record, with small numbers."""

import subprocess
import sys

from tests.support.stage import ROOT


def test_the_benchmark_of_the_record_runs() -> None:
    """It creates records and messages itself, so it must follow their changes."""
    command = [sys.executable, "benchmarks/record_scale.py", "--jobs", "20", "--batches", "300", "--messages", "200"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 9, done.stdout
    assert "(sweep" in done.stdout and "(waiting" in done.stdout  # scripts by name
