"""The second stage of a job with many faces: aggregators share the tiles of its pair matrix."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shared.domain.arrays import Float32
from shared.messaging.celery_app import make_celery, send_aggregate
from shared.messaging.messages import Aggregate
from shared.store.jobs import JobRecord
from tests.support.complete_jobs import complete_job
from tests.support.results import result_bytes
from tests.support.results_folders import people
from tests.support.stage import Stage, wait_until
from worker.aggregation.results_writer import write_results
from worker.aggregation.spilling import read_blocks

TILES = {"FACEQUEUE_PAIR_TILES_FROM": "50", "FACEQUEUE_PAIR_BLOCK_ROWS": "16"}
"""A second stage for few faces, with many tiles."""


def _faces() -> Float32:
    once = np.concatenate([people(60, 5, seed, spread=0.5) for seed in range(4)], axis=1)  # 512 values each
    once /= np.linalg.norm(once, axis=1, keepdims=True)
    return np.concatenate([once, once[:40]])


def _expected(server: Stage, record: JobRecord, folder: Path) -> dict[str, bytes]:
    """What one process writes."""
    job = record.load()
    write_results(
        job,
        read_blocks(server.client, job, server.results),
        {},
        folder,
        resources=dict,
        threads=2,
        distances_max_bytes=2**30,
        may_publish=lambda: True,
    )
    return result_bytes(folder / job.name)


def _aggregate(server: Stage, record: JobRecord) -> None:
    job = record.load()
    send_aggregate(make_celery(server.settings), "aggregate", Aggregate(version=1, job=job.name, uid=job.uid))


def _is_finished(record: JobRecord) -> bool:
    job = record.load()
    assert job.problem is None, job.problem
    return job.state == "finished"


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


def test_the_result_is_that_of_one_process(stage: Stage, tmp_path: Path) -> None:
    """Byte for byte, with copies among the faces; and nothing is left beside the results."""
    record = complete_job(stage, _faces())
    expected = _expected(stage, record, tmp_path)
    _aggregate(stage, record)
    wait_until(lambda: _is_finished(record), 60, "finished")
    assert result_bytes(stage.results / "j") == expected
    assert {"neighbors.npz", "groups.csv"} <= expected.keys()
    assert [path.name for path in stage.results.iterdir()] == ["j"]
