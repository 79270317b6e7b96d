"""The second stage of a job with many faces: aggregators share the tiles of its pair matrix."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.domain.options import WhenDistances
from tests.support.complete_jobs import TILES, aggregate, complete_job, expected_results, is_finished, made_up_faces
from tests.support.results import result_bytes
from tests.support.stage import Stage, wait_until
from worker.aggregation.hidden_names import stage_folder


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server with two aggregators."""
    made = Stage(tmp_path_factory.mktemp("server"))
    try:
        for name in ("a", "b"):
            made.spawn("worker", "--queues", "aggregate", "--concurrency", "1", log=f"{name}.log", **TILES)
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("distances", ["none", "auto", "full"])
def test_the_result_is_that_of_one_process(stage: Stage, tmp_path: Path, distances: WhenDistances) -> None:
    """Byte for byte, with copies among the faces; and nothing is left beside the results."""
    record = complete_job(stage, made_up_faces(), distances=distances)
    expected = expected_results(stage, record, tmp_path)
    aggregate(stage, record)
    wait_until(lambda: is_finished(record), 60, "finished")
    assert result_bytes(stage.results / "j") == expected
    assert {"neighbors.npz", "groups.csv"} <= expected.keys()
    assert ("distances.npy" in expected) == (distances != "none")
    assert f"{78 if distances == 'none' else 2 * 78} tiles of its pair matrix" in stage.log("a.log") + stage.log(
        "b.log"
    )
    wait_until(lambda: [path.name for path in stage.results.iterdir()] == ["j"], 20, "nothing else is left")
    (stage.results / "j").rename(tmp_path / "done")
    record.delete()


def test_candidates_that_cannot_be_written_are_a_problem_that_can_be_solved(stage: Stage, tmp_path: Path) -> None:
    """It names the folder and what to do. The other tiles go on, and the result is that of one process."""
    record = complete_job(stage, made_up_faces(), "k")
    expected = expected_results(stage, record, tmp_path)
    folder = stage_folder(record.load(), stage.results)
    blocked = folder / "tile-5.pairs"
    blocked.mkdir(parents=True)
    (blocked / "in the way").touch()
    aggregate(stage, record)
    wait_until(lambda: record.load().problem, 60, "a problem")
    assert re.search(
        r"tiles of job 'k' cannot be written to .*k\..*\.pairs: .*`python -m producer aggregate k` goes on",
        str(record.load().problem),
    )
    wait_until(lambda: len([path for path in folder.glob("tile-*.pairs") if path.is_file()]) == 77, 60, "the others")
    shutil.rmtree(blocked)
    done = stage.producer("aggregate", "k")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: is_finished(record), 60, "finished")
    assert result_bytes(stage.results / "k") == expected
