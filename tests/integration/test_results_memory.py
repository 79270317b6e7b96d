"""Reading large results takes bounded memory: real commands on 60,000 made-up faces."""

import sys
from pathlib import Path

import pytest

from benchmarks.made_up_results import write_made_up_results
from benchmarks.peak_memory import peak_memory
from benchmarks.results_memory import commands
from tests.support.stage import ROOT

FACES = 60_000
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with many faces and without a matrix."""
    folder = tmp_path_factory.mktemp("results") / "large"
    write_made_up_results(folder, FACES)
    return folder


# Before distances came in blocks and tables in columns these were 612, 545 and 87 MiB.
@pytest.mark.parametrize(("command", "most_mib"), [("neighbors", 200), ("report", 450), ("summary", 60)])
def test_private_memory_is_bounded(large: Path, command: str, most_mib: int) -> None:
    """It does not grow with the number of faces: distances come in blocks, tables in rows or columns."""
    # One thread: BLAS sets memory aside for each core of the machine.
    peak = peak_memory(commands(large, FACES)[command], ROOT, PYTHONPATH=str(ROOT), OPENBLAS_NUM_THREADS="1")
    assert peak.exit_code == 0
    assert 5 < peak.private < most_mib
