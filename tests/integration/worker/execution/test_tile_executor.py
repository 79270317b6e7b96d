"""A tile of the pair matrix in one process: what is given up, and how the job goes on."""

import os
import shutil
from pathlib import Path

import pytest

from producer.submission.jobs import cancel_job
from shared.domain.options import WhenDistances
from shared.domain.outcomes import Outcome, Verdict
from shared.domain.priority import Priority
from shared.messaging.celery_app import make_celery
from shared.messaging.messages import Aggregate, PairTile
from shared.store.jobs import JobRecord
from shared.store.worker_registry import Worker, announce
from tests.integration.conftest import LONG_S
from tests.support.complete_jobs import complete_job, expected_results, made_up_faces
from tests.support.jobs import add_tiles
from tests.support.reconciling import messages_in
from tests.support.results import result_bytes
from tests.support.stage import Stage
from worker.aggregation.pair_stage import PairStage
from worker.aggregation.spilling import sweep_spill_files
from worker.answers import AnswerKind, TaskAnswer
from worker.execution.connections import Connections
from worker.execution.job_aggregator import JobAggregator
from worker.execution.tile_executor import TileExecutor

pytestmark = pytest.mark.usefixtures("guarded_transport")


def _begin(server: Stage) -> tuple[JobRecord, PairStage, PairTile]:
    """A job in its second stage, and the message of its first tile."""
    server.client.flushall()
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


def test_a_cancelled_job_leaves_no_tile_and_no_folder(server: Stage) -> None:
    """Messages of its tiles are dropped. The folder is removed once nobody has written to it for an hour."""
    _, stage, tile = _begin(server)
    assert _execute(server, tile).kind is AnswerKind.COMPARED
    sweep_spill_files(server.client, server.results)
    cancel_job(server.client, "j", server.settings)
    next_tile = tile.model_copy(update={"batch": tile.batch + 1, "send": tile.send + 1})
    assert _execute(server, next_tile).kind is AnswerKind.NOT_WANTED
    assert stage.has(0) and not stage.has(1)
    sweep_spill_files(server.client, server.results)
    assert stage.folder.exists()
    for path in (stage.folder, *stage.folder.iterdir()):
        os.utime(path, (0, 0))
    sweep_spill_files(server.client, server.results)
    assert not stage.folder.exists()


def test_the_folder_of_a_job_that_goes_on_stays(server: Stage) -> None:
    """However long its tiles wait for a worker."""
    record, stage, _ = _begin(server)
    for path in (stage.folder, *stage.folder.iterdir()):
        os.utime(path, (0, 0))
    sweep_spill_files(server.client, server.results)
    assert stage.folder.exists()
    record.delete()


def test_an_aggregator_without_the_folder_leaves_the_merge_to_others(
    server: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says which worker lacks which folder. If nobody has it, the faces are compared again."""
    monkeypatch.setattr("worker.execution.second_stage._PAUSE_S", 0.0)
    record, stage, tile = _begin(server)
    for number in range(stage.plan.tiles):
        sent = {"batch": tile.batch + number, "send": tile.send + number}
        assert _execute(server, tile.model_copy(update=sent)).kind is AnswerKind.COMPARED
    record.release_aggregation(tile.uid, "w/9")
    announce(server.client, Worker("other@host", ["aggregate"], 1, {}, host="host"), LONG_S)
    changed = {"results_dir": tmp_path / "elsewhere", "pair_tiles_from": 50, "pair_block_rows": 100}
    settings = server.settings.model_copy(update=changed)
    aggregator = JobAggregator(settings, make_celery(settings), Connections(settings), 1)
    wanted = Aggregate(version=1, job="j", uid=tile.uid)
    lacks = (
        f"worker-7@here lacks {tmp_path / 'elsewhere' / stage.folder.name}, where the faces of job 'j' were compared"
    )
    for _ in range(5):  # the other one may be busy
        answer = aggregator.aggregate(wanted, "worker-7@here")
        assert answer.kind is AnswerKind.REFUSED
        assert str(record.load().refusal).startswith(lacks) and record.refusals().keys() == {"worker-7@here"}
    assert messages_in(server, "aggregate").count(wanted.model_dump()) == 1 + 5
    assert record.note_refusal(tile.uid, "other@host", "other@host lacks it")
    assert aggregator.aggregate(wanted, "worker-7@here").kind is AnswerKind.COMPARED
    assert record.load().comparing and (tmp_path / "elsewhere" / stage.folder.name / "plan.json").exists()
    record.delete()


def test_an_aggregator_with_another_limit_uses_the_stage_that_was_begun(server: Stage) -> None:
    """It would search alone among so many faces, and leave the folder behind."""
    record, stage, tile = _begin(server)
    for number in range(stage.plan.tiles):
        sent = {"batch": tile.batch + number, "send": tile.send + number}
        assert _execute(server, tile.model_copy(update=sent)).kind is AnswerKind.COMPARED
    record.release_aggregation(tile.uid, "w/9")
    assert server.settings.pair_tiles_from >= record.load().faces
    aggregator = JobAggregator(server.settings, make_celery(server.settings), Connections(server.settings), 1)
    answer = aggregator.aggregate(Aggregate(version=1, job="j", uid=tile.uid), "worker-7@here")
    assert answer.kind is AnswerKind.FINISHED
    assert (server.results / "j" / "neighbors.npz").exists() and not stage.folder.exists()


@pytest.mark.parametrize(("faces", "neighbors", "distances"), [(340, 0, "full"), (340, 0, "none"), (6, 64, "full")])
def test_any_part_of_the_results_may_be_left_out(
    server: Stage, tmp_path: Path, faces: int, neighbors: int, distances: WhenDistances
) -> None:
    """A matrix without neighbors has tiles too, and without both there are none. Neighbors may be more than faces."""
    server.client.flushall()
    shutil.rmtree(server.results, ignore_errors=True)
    settings = server.settings.model_copy(update={"pair_tiles_from": 4, "pair_block_rows": 100})
    app, connections = make_celery(settings), Connections(settings)
    record = complete_job(server, made_up_faces()[:faces], distances=distances, neighbors=neighbors)
    expected = expected_results(server, record, tmp_path)
    wanted = Aggregate(version=1, job="j", uid=record.load().uid)
    aggregator, executor = JobAggregator(settings, app, connections, 1), TileExecutor(settings, app, connections)
    answer = aggregator.aggregate(wanted, "w")
    assert (answer.kind is AnswerKind.FINISHED) == (distances == "none")
    if distances == "full":
        for number in range(record.load().tiles):
            batch = 2 + number
            sent = int(server.client.zscore(record._part("open"), str(batch)) or 0)
            if sent < 0:
                dispatched = record.dispatch("aggregate", Priority.NORMAL)
                assert dispatched is not None and dispatched.batch == batch
                sent = dispatched.sent.send
            tile = PairTile(version=1, job="j", uid=wanted.uid, batch=batch, send=sent, stage=record.load().stage)
            assert executor.execute(tile, "w").kind is AnswerKind.COMPARED
        assert aggregator.aggregate(wanted, "w").kind is AnswerKind.FINISHED
    assert result_bytes(server.results / "j") == expected
    assert ("neighbors.npz" in expected) == (neighbors > 0)
