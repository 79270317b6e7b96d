"""Fixtures: read-only images, the undisturbed result, and the table that `make chaos` prints."""

import hashlib
import os
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from shared.store.jobs import JobRecord
from tests.support.results import RESULT_COLUMNS, result_bytes, rows_of
from tests.support.stage import Stage
from worker.vision.pipeline import Networks

_lines: list[str] = []


@dataclass
class Fault:
    """One row of the table."""

    name: str
    injected: int = 0
    lost: int = 0
    twice: int = 0
    went_on_s: list[float] = field(default_factory=list)

    def went_on(self, since: float) -> None:
        """Records that work continued."""
        self.went_on_s.append(time.monotonic() - since)

    def line(self) -> str:
        """The row as Markdown."""
        slowest = f"{max(self.went_on_s):.1f}" if self.went_on_s else "-"
        return f"| {self.name} | {self.injected} | {self.lost} | {self.twice} | {slowest} |"


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Iterator[Fault]:
    """This test's row of the table. Its name is the first line of the test's docstring."""
    made = Fault((request.function.__doc__ or request.node.name).strip().splitlines()[0].rstrip("."))
    yield made
    if made.injected:
        request.node.user_properties.append(("fault", made.line()))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collects the rows, including those of other processes (pytest-xdist)."""
    if report.when == "teardown":
        _lines.extend(line for name, line in report.user_properties if name == "fault")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the table."""
    if _lines:
        terminalreporter.section("faults")
        terminalreporter.write_line(
            "| fault | times injected | images lost | leased twice | s until it went on, slowest |"
        )
        terminalreporter.write_line("| --- | --- | --- | --- | --- |")
        for line in _lines:
            terminalreporter.write_line(line)


def tree_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 and mode of every file."""
    return {
        str(path.relative_to(folder)): f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mode:o}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def images(sample: Path, tmp_path: Path) -> Iterator[Path]:
    """The sample folder, read-only. After the test every byte of it must be unchanged."""
    folder = tmp_path / "images"
    shutil.copytree(sample, folder)
    _set_modes(folder, 0o555, 0o444)
    before = tree_hashes(folder)
    yield folder
    assert tree_hashes(folder) == before
    _set_modes(folder, 0o755, 0o644)


def _set_modes(folder: Path, directories: int, files: int) -> None:
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(directories if path.is_dir() else files)


@pytest.fixture(scope="session")
def undisturbed(sample: Path, networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of an undisturbed run on the sample folder; `networks` converts the networks first."""
    stage = Stage(tmp_path_factory.mktemp("undisturbed"))
    try:
        done = stage.producer("run", str(sample), "--results", str(stage.results), "--job", "calm", "--workers", "1")
        assert done.returncode == 3, done.stderr
    finally:
        stage.close()
    return result_bytes(stage.results / "calm")


def account(stage: Stage, job: str, images: Path, poisoned: Collection[str], fault: Fault) -> None:
    """Checks that no file is missing, and that all images except the poisoned ones have the results of an undisturbed
    run.

    That run's worker is an ordinary one, to which the marked files are normal photographs.
    """
    done = stage.producer("run", str(images), "--results", str(stage.results), "--job", f"{job}-calm", "--workers", "1")
    assert done.returncode == 0, done.stderr
    rows = rows_of(stage.results / job / "images.csv")
    fault.lost += len(list(images.iterdir())) - len(rows)
    fault.twice += JobRecord(stage.client, job).load().images_retaken
    assert fault.lost == 0
    assert _rows_but(stage.results / job, poisoned) == _rows_but(stage.results / f"{job}-calm", poisoned)


def _rows_but(folder: Path, paths: Collection[str]) -> list[tuple[object, ...]]:
    embeddings = np.load(folder / "embeddings.npy")
    faces = [
        (*(value for column, value in row.items() if column not in ("face", "image")), embeddings[k].tobytes())
        for k, row in enumerate(rows_of(folder / "faces.csv"))
        if row["path"] not in paths
    ]
    images = [
        tuple(row[column] for column in RESULT_COLUMNS if column != "image")
        for row in rows_of(folder / "images.csv")
        if row["path"] not in paths
    ]
    return [*faces, *images]


def check_result(stage: Stage, job: str, expected: dict[str, bytes], fault: Fault) -> None:
    """Checks that the bytes are those of an undisturbed run, and records how many images were leased twice."""
    folder = stage.results / job
    rows = rows_of(folder / "images.csv")
    fault.lost += len(_paths(expected)) - len(rows)
    fault.twice += JobRecord(stage.client, job).load().images_retaken
    assert result_bytes(folder) == expected
    assert [path.name for path in stage.results.iterdir() if path.name != job] == []
    assert not list(stage.client.scan_iter(f"facequeue:job:{job}:block:*"))


def _paths(expected: dict[str, bytes]) -> list[str]:
    import json

    place = RESULT_COLUMNS.index("path")
    return [row[place] for row in json.loads(expected["images.csv"])]


def is_root() -> bool:
    """Whether permissions do not apply to this process."""
    return os.getuid() == 0
