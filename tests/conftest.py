"""Fixtures: the sample folder, the networks, a real server and real workers."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import HOME_GUARD  # before what reads the user's folders when it is imported
from tests.support.stage import ROOT, Stage

# isort: split
from producer.sample_images import write_sample
from shared.config.settings import Settings
from shared.domain.contract import KNOWN_WEIGHTS
from worker.models.loader import load_networks
from worker.vision.pipeline import Networks

# A shell that starts the tests in the background has them, and all they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

PHOTOGRAPHS = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    # Networks are converted by the code under test, not found from before: a mistake in the conversion must show. Once
    # is enough for all processes of pytest-xdist, each of which has a folder of its own beside the others'.
    # CI names one folder for its several runs.
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    os.environ["FACEQUEUE_CACHE_DIR"] = os.environ.get("TESTS_CACHE_DIR") or str(folder / "cache")
    # What one test computed must not answer for another one.
    os.environ["FACEQUEUE_DISK_CACHE_MAX_MIB"] = "0"


@pytest.fixture(autouse=True)
def _nothing_of_the_users_home() -> Iterator[None]:
    # Even if the code under test has caught the error.
    yield
    writes, HOME_GUARD.writes = HOME_GUARD.writes, []
    assert not writes, f"this test {writes[0]}"


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample folder."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    return folder


@pytest.fixture(scope="session")
def networks() -> Networks:
    """The real networks, in this process, on one thread."""
    settings = Settings(_env_file=None)
    name = "casia-webface"
    return load_networks(name, KNOWN_WEIGHTS[name], settings, 1)


@pytest.fixture(scope="session")
def photographs() -> Path:
    """Real photographs next to the checkout. Tests that need them are skipped without them."""
    if not PHOTOGRAPHS.is_dir():
        pytest.skip("no photographs beside the checkout")
    return PHOTOGRAPHS


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A folder for trees that are too deep for Python's own recursive removal."""
    folder = tmp_path / "deep"
    folder.mkdir()
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A fresh server. Everything that is started on it ends with the test."""
    made = Stage(tmp_path)
    yield made
    made.close()
