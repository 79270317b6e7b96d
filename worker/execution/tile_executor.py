"""The steps of a tile of the pair matrix: lease it, write its candidates or distances, mark it done.

The process that commits the last tile of a job enqueues its aggregation again.
"""

import os
import time
from functools import cached_property

import redis
from celery import Celery

from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.dispatch.dispatcher import Dispatcher
from shared.domain.errors import JobNotFound, RecordUnreadable
from shared.domain.job import Job
from shared.domain.paths import printable
from shared.messaging.celery_app import BrokerError, send_aggregate, send_tile
from shared.messaging.messages import Aggregate, PairTile
from shared.results.distance_tiles import arithmetic
from shared.store.jobs import JobRecord
from shared.store.leases import DEATHS_ALONE, Lease
from shared.store.pair_tiles import TileCommitted
from shared.tracing.spans import job_span
from worker.aggregation.hidden_names import stage_folder
from worker.aggregation.pair_stage import PairStage
from worker.answers import AnswerKind, TaskAnswer, not_wanted
from worker.execution.connections import Connections
from worker.execution.refilling import refill
from worker.execution.retrying import retry_until_stored

_log = get_logger("tasks")
_PAUSE_S = 0.5


class TileExecutor:
    """Computes the tiles that a worker process takes."""

    def __init__(self, settings: Settings, app: Celery, connections: Connections) -> None:
        self._settings, self._app, self._connections = settings, app, connections
        self.threads = 1
        """Of one process."""

    @cached_property
    def _dispatcher(self) -> Dispatcher:
        settings = self._settings
        return Dispatcher(self._connections.patient, self._app, settings, settings.queue_prefix, despite_oom=True)

    def execute(self, tile: PairTile, worker: str) -> TaskAnswer:
        """Computes a tile and marks it done. A worker that cannot passes the message on to others."""
        refill(self._dispatcher.fill_aggregate)
        record, holder = JobRecord(self._connections.patient, tile.job), f"{worker}/{os.getpid()}"
        try:
            job = record.load()
        except JobNotFound as error:
            return not_wanted(error)
        except RecordUnreadable as error:
            record.note_refusal(tile.uid, worker, str(error))
            return not_wanted(error)
        number = tile.batch - job.batches
        if job.uid != tile.uid or job.stage != tile.stage or not 0 <= number < job.tiles:
            return not_wanted("the stage was begun again")
        stage = PairStage.find(job, self._settings.results_dir)
        reason = self._why_not(job, stage, number, worker)
        if stage is None or reason is not None:
            return self._pass_on(record, job, tile, worker, str(reason))
        lease = record.take(tile.uid, tile.batch, tile.send, holder, self._settings.lease_s, images=0)
        if not isinstance(lease, Lease):
            return not_wanted(lease)
        if lease.losses >= DEATHS_ALONE:
            problem = (
                f"Comparing the faces of job '{job.name}' ended {lease.losses} processes; is memory "
                "short? The workers' logs say more."
            )
            return self._give_up(record, tile, holder, problem)
        try:
            with job_span("tile", job.uid, job=job.name, tile=number, attempt=lease.attempt):
                if not stage.has(number):
                    stage.compute(number, self.threads)
        except OSError as error:
            problem = (
                f"The tiles of job '{job.name}' cannot be written to {printable(str(stage.folder))}: "
                f"{error.strerror or error}. Nothing is lost: once that is solved, `python -m producer aggregate "
                f"{job.name}` goes on."
            )
            return self._give_up(record, tile, holder, problem)
        return self._commit(record, job, tile)

    def _commit(self, record: JobRecord, job: Job, tile: PairTile) -> TaskAnswer:
        committed = retry_until_stored(lambda: record.commit_tile(tile.uid, tile.batch, tile.stage))
        if committed is TileCommitted.LAST:
            last = Aggregate(version=1, job=tile.job, uid=tile.uid)
            retry_until_stored(lambda: send_aggregate(self._app, job.aggregate_queue, last))
        _log.info("%s %s", tile.describe(), committed, extra={"action": "tile_committed"})
        if committed not in (TileCommitted.STORED, TileCommitted.LAST):
            return not_wanted(committed)
        return TaskAnswer(kind=AnswerKind.COMPARED)

    def _give_up(self, record: JobRecord, tile: PairTile, holder: str, problem: str) -> TaskAnswer:
        """Records why there are no results. The tile waits until somebody asks for the job again."""
        job = record.load()
        record.note_problem(tile.uid, problem, lost=job.lost_aggregations)
        record.give_back(tile.batch, holder)
        _log.error("%s", problem, extra={"action": "tile_failed"})
        return TaskAnswer(kind=AnswerKind.FAILED, reason=problem)

    def _why_not(self, job: Job, stage: PairStage | None, number: int, worker: str) -> str | None:
        """Why this worker cannot compute a tile."""
        if stage is None:
            folder = stage_folder(job, self._settings.results_dir)
            return (
                f"{worker} lacks {printable(str(folder))}, which job '{job.name}' needs: its results folder is not "
                "that of the other workers. Give it theirs (FACEQUEUE_RESULTS_DIR), or let it serve the queue `embed` "
                "alone"
            )
        wanted = stage.arithmetic_of(number)
        if wanted in (None, arithmetic()):
            return None
        return (
            f"{worker} computes distances with {arithmetic()}, and those of job '{job.name}' were begun with "
            f"{printable(str(wanted))}: their last bits may differ. Leave its tiles to the other aggregators"
        )

    def _pass_on(self, record: JobRecord, job: Job, tile: PairTile, worker: str, reason: str) -> TaskAnswer:
        """Puts the message behind the others, for a worker that can compute the tile."""
        record.note_refusal(job.uid, worker, reason)
        _log.warning("%s", reason, extra={"action": "tile_refused"})
        time.sleep(_PAUSE_S)  # the others take the messages before
        if not record.waits_for(tile.batch, tile.send):
            return not_wanted("done, or sent again")
        try:
            send_tile(self._app, job.aggregate_queue, tile)
        except (redis.RedisError, BrokerError) as error:
            # The tile is still open in the record: the reconciler sends it again.
            _log.warning("%s is sent later: %s", tile.describe(), error, extra={"action": "pass_on_failed"})
        return TaskAnswer(kind=AnswerKind.REFUSED, reason=reason)
