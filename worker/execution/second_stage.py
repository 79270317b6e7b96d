"""Begins the second stage of a job with many faces: tiles of its pair matrix, which the aggregators share."""

import time
from collections.abc import Callable, Iterable

import redis
from celery import Celery

from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.dispatch.dispatcher import Dispatcher
from shared.domain.job import Job
from shared.domain.paths import printable
from shared.messaging.celery_app import BrokerError, send_aggregate
from shared.messaging.messages import Aggregate
from shared.store.jobs import JobRecord
from shared.store.redis_client import Client
from shared.store.worker_registry import living_workers
from worker.aggregation.hidden_names import stage_folder
from worker.aggregation.known_neighbors import takes_earlier_rows
from worker.aggregation.matrix_plan import known_distances, plan_matrix
from worker.aggregation.pair_stage import PairStage
from worker.aggregation.results_writer import os_errors_explained
from worker.aggregation.rows import Row, earlier_faces
from worker.answers import AnswerKind, TaskAnswer, not_wanted
from worker.execution.retrying import retry_until_stored

_log = get_logger("tasks")
_PAUSE_S = 1.0


class SecondStage:
    """The second stage of one job, for the process that has leased its aggregation."""

    def __init__(self, settings: Settings, app: Celery, client: Client, job: Job, holder: str) -> None:
        self._settings, self._app, self._client, self._job, self._holder = settings, app, client, job, holder
        self._record = JobRecord(client, job.name)

    def prepare(self, rows: Callable[[], Iterable[Row]]) -> PairStage | TaskAnswer | None:
        """What the results are made with: the stage once all its tiles are done, or None if the job needs none.

        Otherwise sends the tiles, ends the lease, and returns the task's answer. `rows` are the job's images.
        """
        job, results_dir = self._job, self._settings.results_dir
        if job.faces <= self._settings.pair_tiles_from and not job.stage:  # another aggregator may have begun one
            return None
        stage = PairStage.find(job, results_dir)
        if stage is not None and stage.whole:
            return stage
        if stage is None and job.stage and self._others():
            return self._pass_on()
        # Else nobody has the folder: the server forgot that the job was finished, or somebody removed it.
        if stage is None:
            with os_errors_explained(results_dir):
                stage = self._begin(rows)
        return None if stage is None else self._send(stage)

    def _begin(self, rows: Callable[[], Iterable[Row]]) -> PairStage | None:
        job, settings, results_dir = self._job, self._settings, self._settings.results_dir
        results_dir.mkdir(parents=True, exist_ok=True)
        # A killed aggregator may have left the matrix, for which the disk has room once.
        there = PairStage.bytes_there(job, results_dir)
        planned = plan_matrix(job, results_dir, settings.distances_max_gib * 2**30, there=there)
        matrix = planned.writes and not self._copies(rows)
        neighbors = job.options.neighbors > 0
        if not matrix and not neighbors:
            return None
        return PairStage.begin(
            job,
            (row.embeddings for row in rows()),
            results_dir,
            settings.pair_tiles_from,
            settings.pair_block_rows,
            neighbors=neighbors,
            matrix=matrix,
            earlier=results_dir / job.name if takes_earlier_rows(job) else None,
            may_begin=lambda: retry_until_stored(lambda: self._record.holds_aggregation(self._holder)),
        )

    def _copies(self, rows: Callable[[], Iterable[Row]]) -> bool:
        """Whether earlier results have most distances: then the aggregator copies them."""
        job = self._job
        if not takes_earlier_rows(job):
            return False
        known = known_distances(self._settings.results_dir / job.name, earlier_faces(rows()))
        return known is not None and known.suffices

    def _send(self, stage: PairStage) -> TaskAnswer:
        job, name, tiles = self._job, stage.plan.stage, stage.plan.tiles
        refused = retry_until_stored(lambda: self._record.add_tiles(job.uid, self._holder, name, tiles))
        if refused is not None:
            return not_wanted(refused)
        # Before the last tile is done: whoever finishes it sends the aggregation, which must find the lease free.
        retry_until_stored(lambda: self._record.release_aggregation(job.uid, self._holder))
        try:
            self._record.queue_up(job.uid, job.aggregate_queue)
            dispatcher = Dispatcher(self._client, self._app, self._settings, job.queue_prefix, despite_oom=True)
            dispatcher.fill_aggregate()
        except (redis.RedisError, BrokerError) as error:
            # The tiles are in the record: the reconciler sends them.
            _log.warning("job %s: tiles are sent later: %s", job.name, error, extra={"action": "tiles_put_off"})
        _log.info("job %s: %d tiles of its pair matrix", job.name, tiles, extra={"action": "tiles_sent"})
        return TaskAnswer(kind=AnswerKind.COMPARED, images=job.images, faces=job.faces)

    def _others(self) -> bool:
        """Whether another worker may have the stage's folder. It may be busy for a while."""
        without = {self._worker, *self._record.refusals()}
        return any(worker.name not in without for worker in living_workers(self._client, self._job.aggregate_queue))

    @property
    def _worker(self) -> str:
        return self._holder.partition("/")[0]

    def _pass_on(self) -> TaskAnswer:
        job = self._job
        reason = (
            f"{self._worker} lacks {printable(str(stage_folder(job, self._settings.results_dir)))}, where the faces of "
            f"job '{job.name}' were compared: its results folder is not that of the other workers. Give it theirs "
            "(FACEQUEUE_RESULTS_DIR), or let it serve the queue `embed` alone"
        )
        self._record.note_refusal(job.uid, self._worker, reason)
        _log.warning("%s", reason, extra={"action": "tile_refused"})
        retry_until_stored(lambda: self._record.release_aggregation(job.uid, self._holder))
        time.sleep(_PAUSE_S)  # the others take the message before
        again = Aggregate(version=1, job=job.name, uid=job.uid)
        retry_until_stored(lambda: send_aggregate(self._app, job.aggregate_queue, again))
        return TaskAnswer(kind=AnswerKind.REFUSED, reason=reason)
