"""The benchmarks of large jobs, with small numbers."""

import subprocess
import sys

from tests.support.stage import ROOT


def test_the_benchmark_of_a_million_images_runs() -> None:
    """It replaces the pipeline in real workers, so it must follow their changes; every bound is kept."""
    command = [sys.executable, "benchmarks/million.py", "--images", "64", "--minutes", "2", "--processes", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    assert "| groups |" in done.stdout and "Stopped" not in done.stdout, done.stdout
    assert "**no**" not in done.stdout, done.stdout


def test_the_benchmark_of_large_groups_runs() -> None:
    """It makes neighbors files itself, so it must follow their changes; every bound is kept."""
    command = [sys.executable, "benchmarks/group_sizes.py", "--sizes", "2000", "--copies", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| yes |") == 4, done.stdout


def test_the_benchmark_of_corrected_groups_runs() -> None:
    """The corrections that it makes up exclude each other nowhere, and have an effect."""
    command = [sys.executable, "benchmarks/corrected_groups.py", "--faces", "2000", "--corrections", "60"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "| 2,000 | 60 |" in done.stdout and "| 100 | 104 |" in done.stdout, done.stdout
