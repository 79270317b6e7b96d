"""The second stage of a job through faults: the results are those of one process, to the last byte."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.complete_jobs import TILES, aggregate, complete_job, expected_results, is_finished, made_up_faces
from tests.support.results import result_bytes
from tests.support.stage import Stage, wait_until
from worker.aggregation.hidden_names import stage_folder


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A server without workers."""
    made = Stage(tmp_path / "stage")
    yield made
    made.close()


def _aggregators(stage: Stage, count: int, **environment: str) -> list[subprocess.Popen[bytes]]:
    arguments = ("worker", "--queues", "aggregate", "--concurrency", "1")
    return [stage.spawn(*arguments, log="aggregators.log", **TILES, **environment) for _ in range(count)]


def _kill(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("done", [5, 83], ids=["candidates", "matrix"])
@pytest.mark.parametrize("victim", ["workers", "a child", "server", "all"])
def test_a_kill_in_the_second_stage_changes_nothing(stage: Stage, tmp_path: Path, victim: str, done: int) -> None:
    """The rest of the tiles is computed, and those that were done are not computed again."""
    record = complete_job(stage, made_up_faces(), distances="full")
    expected = expected_results(stage, record, tmp_path)
    workers = _aggregators(stage, 2)
    aggregate(stage, record)
    wait_until(lambda: record.load().tiles_done >= done, 60, "some tiles are done")
    if victim == "a child":
        children = subprocess.run(["pgrep", "-P", str(workers[0].pid)], capture_output=True, text=True).stdout.split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
    if victim in ("workers", "all"):
        _kill(workers)
        assert record.load().comparing
    if victim in ("server", "all"):
        stage.restart_server()
    if victim in ("workers", "all"):
        folder = stage_folder(record.load(), stage.results)
        before = {path: path.stat().st_ino for path in _made(folder)}
        assert done <= len(before) < 2 * 78
        _aggregators(stage, 1)
        wait_until(lambda: len(_made(folder)) == 2 * 78 or not folder.exists(), 90, "all tiles are there")
        still = {path: path.stat().st_ino for path in before if path.exists()}
        assert still.items() <= before.items()
    wait_until(lambda: is_finished(record), 90, "finished")
    assert result_bytes(stage.results / "j") == expected
    wait_until(lambda: [path.name for path in stage.results.iterdir()] == ["j"], 20, "nothing else is left")


def _made(folder: Path) -> list[Path]:
    """What each tile that is done has written."""
    return [*folder.glob("tile-*.pairs"), *folder.glob("matrix-*.done")]


def test_a_worker_with_another_results_folder_passes_tiles_on(stage: Stage, tmp_path: Path) -> None:
    """One line says which worker lacks which folder; a worker that has it computes the tiles."""
    record = complete_job(stage, made_up_faces())
    expected = expected_results(stage, record, tmp_path)
    workers = _aggregators(stage, 1)
    aggregate(stage, record)
    wait_until(lambda: record.load().tiles_done >= 5, 60, "a worker with the folder has begun")
    _kill(workers)
    folder = stage_folder(record.load(), stage.results)
    _aggregators(stage, 1, FACEQUEUE_RESULTS_DIR=str(stage.folder / "elsewhere"))
    wait_until(lambda: " lacks " in str(record.load().refusal), 60, "the refusal is noted")
    assert re.fullmatch(
        rf"worker-\d+@\S+ lacks {stage.folder / 'elsewhere' / folder.name}, which job 'j' needs: .*"
        r"Give it theirs \(FACEQUEUE_RESULTS_DIR\), or let it serve the queue `embed` alone",
        str(record.load().refusal),
    )
    assert record.load().comparing
    _aggregators(stage, 1)
    wait_until(lambda: is_finished(record), 90, "finished")
    assert result_bytes(stage.results / "j") == expected
