"""The second stage of a job through faults: the results are those of one process, to the last byte."""

import errno
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.domain.errors import ResultsError
from shared.messaging.celery_app import make_celery
from shared.results.distance_tiles import arithmetic
from tests.support.complete_jobs import TILES, aggregate, complete_job, expected_results, is_finished, made_up_faces
from tests.support.made_up_blocks import sealed_job
from tests.support.results import result_bytes
from tests.support.small_disk import fill_disk, run_on_small_disk
from tests.support.stage import Stage, wait_until
from worker.aggregation.hidden_names import stage_folder
from worker.aggregation.matrix_plan import results_bytes
from worker.aggregation.pair_stage import PairStage
from worker.aggregation.results_writer import job_rows
from worker.aggregation.spilling import read_blocks
from worker.answers import TaskAnswer
from worker.execution.second_stage import SecondStage


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


_MOMENTS = {
    "it begins": lambda results: [*results.glob(".j.*.pairs")] and not [*results.glob(".j.*.pairs/plan.json")],
    "it reserves the matrix": lambda results: [*results.glob(".j.*.pairs/matrix-*")],
    "it takes the matrix": lambda results: [*results.glob(".j.*.making/distances.npy")],
    "it merges": lambda results: [*results.glob(".j.*.making/.*distinct.npz*")],
    "it writes the neighbors": lambda results: [*results.glob(".j.*.making/*neighbors.npz*")],
}


@pytest.mark.parametrize("moment", _MOMENTS)
def test_an_aggregator_that_is_killed_changes_nothing(stage: Stage, tmp_path: Path, moment: str) -> None:
    """Neither when it begins the second stage nor when it ends it."""
    record = complete_job(stage, made_up_faces(), distances="full")
    expected = expected_results(stage, record, tmp_path)
    stage.results.mkdir()
    (worker,) = _aggregators(stage, 1)
    wait_until(lambda: " ready." in stage.log("aggregators.log"), 90, "ready")
    aggregate(stage, record)
    deadline = time.monotonic() + 90
    while not _MOMENTS[moment](stage.results):  # the moments are short: it runs a millisecond at a time
        assert time.monotonic() < deadline and not is_finished(record), "the moment was missed"
        os.killpg(worker.pid, signal.SIGCONT)
        time.sleep(0.01 if record.load().comparing else 0.001)
        os.killpg(worker.pid, signal.SIGSTOP)
    _kill([worker])
    assert not (stage.results / "j").exists()
    _aggregators(stage, 1)
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


def a_second_stage_on_a_filling_disk(folder: Path, done: int) -> None:
    """The results folder is a disk of its own, which is full once so many tiles are done."""
    stage = Stage(folder / "stage")
    try:
        record = complete_job(stage, made_up_faces(), distances="full")
        expected = expected_results(stage, record, folder)
        _aggregators(stage, 1)
        aggregate(stage, record)
        wait_until(lambda: record.load().tiles_done >= done, 60, "some tiles are done")
        fill_disk(stage.results, 0)
        wait_until(lambda: record.load().problem, 60, "a problem")
        assert re.search(
            r"be written to .*No space left on device\. .*aggregate j` goes on", str(record.load().problem)
        )
        folder = stage_folder(record.load(), stage.results)
        before = {path: path.stat().st_ino for path in _made(folder)}
        assert len(before) >= done and record.load().comparing

        (stage.results / "filler").unlink()
        again = stage.producer("aggregate", "j")
        assert again.returncode == 0, again.stderr
        wait_until(lambda: len(_made(folder)) == 2 * 78 or not folder.exists(), 90, "all tiles are there")
        still = {path: path.stat().st_ino for path in before if path.exists()}
        assert still.items() <= before.items()
        wait_until(lambda: is_finished(record), 60, "finished")
        assert result_bytes(stage.results / "j") == expected
    finally:
        stage.close()


@pytest.mark.parametrize("done", [5, 83], ids=["candidates", "matrix"])
def test_a_full_disk_in_the_second_stage_costs_nothing(tmp_path: Path, done: int) -> None:
    """One line says it; once there is room, the job goes on with the tiles that are missing."""
    disk = tmp_path / "stage" / "results"
    disk.mkdir(parents=True)
    story = f"from {__name__} import *; a_second_stage_on_a_filling_disk(Path({str(tmp_path)!r}), {done})"
    told = run_on_small_disk(disk, 40, story)
    assert told.returncode == 0, told.stderr[-3000:]


def a_matrix_without_room(folder: Path) -> None:
    """A disk that has room for the embeddings, and not for the matrix; or for that, and not for candidates."""
    faces = made_up_faces()
    fill_disk(folder, len(faces) * 2048 * 2 + 900_000)
    without = PairStage.begin(sealed_job(len(faces), "auto"), [faces], folder, 50, 50, matrix=True)
    assert without is not None and without.plan.matrix is None and without.plan.pairs is not None
    with pytest.raises(ResultsError, match="Make room"):
        PairStage.begin(sealed_job(len(faces), "full"), [faces], folder, 50, 50, matrix=True)
    assert not [*folder.glob(".*/matrix-*")]
    without.remove()
    (folder / "filler").unlink()
    for distances, room in (("full", 300_000), ("auto", 300_000), ("full", 900_000)):
        job = sealed_job(len(faces), distances)
        fill_disk(folder, len(faces) * 2048 * 2 + room)
        try:
            made = PairStage.begin(job, [faces], folder, 10_000, 16, matrix=True)
        except OSError as error:
            assert (distances, room, error.errno) == ("full", 300_000, errno.ENOSPC)
        else:
            assert (made is None) == (distances == "auto")
        assert bool([*folder.glob(".*/matrix-*")]) == (room == 900_000)
        (folder / "filler").unlink()


def test_the_room_for_a_matrix_is_reserved_at_once(tmp_path: Path) -> None:
    """A disk without it is an error before any tile, and nothing of the matrix is left; `auto` leaves it out."""
    (tmp_path / "disk").mkdir()
    story = f"from {__name__} import *; a_matrix_without_room(Path({str(tmp_path / 'disk')!r}))"
    told = run_on_small_disk(tmp_path / "disk", 12, story)
    assert told.returncode == 0, told.stderr[-3000:]


def a_matrix_that_was_left(folder: Path) -> None:
    """An aggregator was killed when the matrix had its room, on a disk that has none for a second one."""
    server = Stage(folder / "server")
    try:
        record = complete_job(server, made_up_faces(), distances="auto")
        job, results = record.load(), folder / "disk"
        assert record.claim_aggregation("w/9", 600)
        assert PairStage.begin(job, [made_up_faces()], results, 50, 16, matrix=True)
        matrix = 4 * job.faces**2
        fill_disk(results, results_bytes(job) + matrix // 2)
        begun = {"results_dir": results, "pair_tiles_from": 50, "pair_block_rows": 16}
        settings = server.settings.model_copy(update=begun)
        stage = SecondStage(settings, make_celery(settings), server.client, job, "w/9")
        rows = job_rows(job, read_blocks(server.client, job, results), {}, results / "j")
        answer = stage.prepare(lambda: rows)
        assert isinstance(answer, TaskAnswer) and record.load().tiles == 2 * 78
    finally:
        server.close()


def test_a_matrix_that_a_killed_aggregator_left_needs_no_second_room(tmp_path: Path) -> None:
    """`auto` does not leave it out: the results are those of a run without a kill."""
    (tmp_path / "disk").mkdir()
    story = f"from {__name__} import *; a_matrix_that_was_left(Path({str(tmp_path)!r}))"
    told = run_on_small_disk(tmp_path / "disk", 60, story)
    assert told.returncode == 0, told.stderr[-3000:]


def test_a_worker_with_another_arithmetic_leaves_the_matrix_to_others(stage: Stage, tmp_path: Path) -> None:
    """All distances have the bits of one kind of processor, and `status` shows the reason."""
    record = complete_job(stage, made_up_faces(), distances="full")
    expected = expected_results(stage, record, tmp_path)
    workers = _aggregators(stage, 1)
    aggregate(stage, record)
    wait_until(lambda: record.load().tiles_done >= 83, 60, "the matrix was begun")
    _kill(workers)
    other = "Nehalem" if "Nehalem" not in arithmetic() else "Haswell"
    _aggregators(stage, 1, OPENBLAS_CORETYPE=other)
    wait_until(lambda: " computes distances with " in str(record.load().refusal), 60, "the refusal is noted")
    assert re.search(rf"{other}, and those of job 'j' were begun with kernel ", str(record.load().refusal))
    _aggregators(stage, 1)
    wait_until(lambda: is_finished(record), 90, "finished")
    assert result_bytes(stage.results / "j") == expected
