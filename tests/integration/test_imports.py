"""Who imports whom, and how fast the command line answers."""

import ast
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT


def test_the_producer_never_loads_torch() -> None:
    """Nor anything of the extra `worker`, in any module."""
    modules = [
        f"producer.{path.stem}"
        for path in (ROOT / "producer").glob("*.py")
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
    """The best of three: the machine may be busy."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "producer", *arguments], capture_output=True, check=True, cwd=ROOT)
        times.append(time.perf_counter() - started)
    assert min(times) < 1.0


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_houses_keep_to_their_doors() -> None:
    """producer -> shared <- worker; the pipeline knows nothing of queues or servers."""
    for house, forbidden in (("producer", {"worker"}), ("worker", {"producer"}), ("shared", {"producer", "worker"})):
        for path in (ROOT / house).rglob("*.py"):
            assert not {name.split(".")[0] for name in _imports(path)} & forbidden, path
    for name in (
        "pipeline",
        "decode",
        "cascade",
        "coarse_to_fine",
        "area",
        "crop",
        "distances",
        "mtcnn",
        "openvino_backend",
        "torch_backend",
    ):
        assert not {n.split(".")[0] for n in _imports(ROOT / "worker" / f"{name}.py")} & {"celery", "redis"}, name


def test_nothing_else_reads_the_environment() -> None:
    """`os.environ` is only handed on to processes that are started."""
    for house in ("producer", "shared", "worker"):
        for path in (ROOT / house).rglob("*.py"):
            assert not re.search(r"os\.getenv|os\.environ\.get|os\.environ\[[^\]]+\](?! = )", path.read_text()), path
