"""A tile of the pair matrix in one process: what is given up, and how the job goes on."""

import pytest

from shared.domain.outcomes import Outcome, Verdict
from shared.messaging.celery_app import make_celery
from shared.messaging.messages import PairTile
from shared.store.jobs import JobRecord
from tests.integration.conftest import LONG_S
from tests.support.complete_jobs import complete_job, made_up_faces
from tests.support.jobs import add_tiles
from tests.support.stage import Stage
from worker.aggregation.pair_stage import PairStage
from worker.answers import AnswerKind, TaskAnswer
from worker.execution.connections import Connections
from worker.execution.tile_executor import TileExecutor

pytestmark = pytest.mark.usefixtures("guarded_transport")


def _begin(server: Stage) -> tuple[JobRecord, PairStage, PairTile]:
    """A job in its second stage, and the message of its first tile."""
    record = complete_job(server, made_up_faces())
    job = record.load()
    stage = PairStage.begin(job, [made_up_faces()], server.results, 50, 100)
    assert stage is not None and record.claim_aggregation("w/9", LONG_S)
    send = add_tiles(record, job.uid, "w/9", stage.plan.stage, stage.plan.tiles)
    return (
        record,
        stage,
        PairTile(version=1, job=job.name, uid=job.uid, batch=job.batches, send=send, stage=stage.plan.stage),
    )


def _execute(server: Stage, tile: PairTile) -> TaskAnswer:
    return TileExecutor(server.settings, make_celery(server.settings), Connections(server.settings)).execute(tile, "w")


def test_a_tile_that_ends_three_processes_is_given_up_until_the_job_goes_on(server: Stage) -> None:
    """The problem says what to look for. Once somebody asks for the job again, the tile is tried as often as before:
    there may be more memory now.
    """
    record, stage, tile = _begin(server)
    for _ in range(3):
        record.take(tile.uid, tile.batch, tile.send, "w/1", LONG_S, images=0)
        again = record.lose(tile.uid, tile.batch, "w/1", Verdict(Outcome.CRASHED, "it died"))
        assert again is not None
        tile = tile.model_copy(update={"send": again.send})
    assert _execute(server, tile).kind is AnswerKind.FAILED
    assert not stage.has(0) and record.load().comparing
    assert str(record.load().problem) == (
        "Comparing the faces of job 'j' ended 3 processes; is memory short? The workers' logs say more."
    )
    record.go_on(tile.uid)
    assert record.load().problem is None
    assert _execute(server, tile).kind is AnswerKind.COMPARED
    assert stage.has(0) and record.load().tiles_done == 1
