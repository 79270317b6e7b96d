"""The steps of a batch: load the job, lease the batch, compute it, commit its block.

The process that commits the last batch of a job enqueues its aggregation.
"""

import os
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from celery import Celery

from shared.archives.opening import archive_of
from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.dispatch.dispatcher import Dispatcher
from shared.domain.errors import (
    ContractError,
    FolderMissing,
    JobNotFound,
    LocationUnavailable,
    RecordUnreadable,
    WeightsError,
)
from shared.domain.job import Job
from shared.domain.outcomes import Outcome
from shared.domain.paths import RootPath
from shared.domain.stages import STAGES
from shared.messaging.celery_app import send_aggregate
from shared.messaging.messages import Aggregate, EmbedBatch
from shared.store.jobs import JobRecord
from shared.store.leases import Committed, Lease
from shared.store.totals import count_batch
from shared.tracing.spans import job_span
from worker.answers import AnswerKind, TaskAnswer, not_wanted
from worker.batch_result import Block
from worker.execution.batch_runner import BatchAbandoned, BatchRunner
from worker.execution.connections import Connections
from worker.execution.data_root_check import check_job_folder, find_missing_folder, folder_missing
from worker.execution.disk_cache import DiskCache
from worker.execution.diversion import Diversion, divert_unread
from worker.execution.member_reader import MemberReader
from worker.execution.object_stores import ObjectStores
from worker.execution.profiling import Profiler
from worker.execution.refilling import refill
from worker.execution.result_cache import ContractCache, PackedResults
from worker.execution.retrying import retry_until_stored
from worker.execution.server_cache import ServerCache
from worker.models.loader import ModelLoader
from worker.models.runtime import check_contract, check_runtime
from worker.vision.pipeline import Networks, Result

_log = get_logger("tasks")


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    """One process's attempt at a batch that it has leased."""

    record: JobRecord
    job: Job
    batch: EmbedBatch
    holder: str
    lease: Lease
    started_ms: int


class BatchExecutor:
    """Executes the batches that a worker process takes."""

    def __init__(self, settings: Settings, app: Celery, connections: Connections, models: ModelLoader) -> None:
        self._settings, self._app, self._connections, self._models = settings, app, connections, models
        self._profiler = Profiler(settings.profile_dir)
        self._members, self._objects = MemberReader(), ObjectStores(settings)
        self._last_commit_ms = 0.0

    @cached_property
    def _dispatcher(self) -> Dispatcher:
        settings = self._settings
        return Dispatcher(self._connections.patient, self._app, settings, settings.queue_prefix, despite_oom=True)

    @cached_property
    def _results(self) -> PackedResults:
        settings = self._settings
        if settings.keeps_results_on_disk and settings.disk_cache_dir is not None:
            return DiskCache(settings.disk_cache_dir, settings.disk_cache_max_mib * 2**20)
        return ServerCache(self._connections.quick, settings.cache_ttl_s, settings.cache_max_mib)

    def _cache(self, job: Job) -> ContractCache:
        return ContractCache(self._results, job.contract, self._models.runtime)

    def execute(self, batch: EmbedBatch, worker: str) -> TaskAnswer:
        """Embeds a batch and commits its block. The outcome of an image is in its record and never raises an exception.

        `worker` is the name of this worker. It refuses the batch if it cannot serve the job.
        """
        client = self._connections.patient
        refill(self._dispatcher.fill_embed)
        record, holder = JobRecord(client, batch.job), f"{worker}/{os.getpid()}"
        try:
            job = record.load()
        except JobNotFound as error:
            return not_wanted(error)
        except RecordUnreadable as error:
            return divert_unread(client, self._app, self._settings, batch, worker, error)
        diversion = Diversion(client, self._app, self._settings, job, batch, worker, holder)
        if job.uid == batch.uid and (reason := diversion.known_reason()):
            return diversion.forward(reason)
        started_ms = int(time.time() * 1000)
        lease = record.take(
            batch.uid, batch.batch, batch.send, holder, self._settings.lease_s, images=len(batch.images)
        )
        if not isinstance(lease, Lease):
            return not_wanted(lease)
        attempt = _Attempt(record=record, job=job, batch=batch, holder=holder, lease=lease, started_ms=started_ms)
        with job_span("batch", job.uid, job=job.name, batch=batch.batch, attempt=lease.attempt) as span:
            answer = self._execute_leased(attempt, diversion)
            span.note(answer=answer.kind)
        return answer

    def _execute_leased(self, attempt: _Attempt, diversion: Diversion) -> TaskAnswer:
        try:
            with job_span("networks", attempt.job.uid):
                networks = self._load_networks(attempt)
            diversion.forget()
            with job_span("compute", attempt.job.uid) as span:
                results = self._compute(attempt, networks)
                span.note(images=len(results), **_stage_ms(results))
            missing = self._missing_folder(attempt, results)
        except (ContractError, WeightsError, FolderMissing, LocationUnavailable) as error:
            return diversion.divert(error)
        except BatchAbandoned as why:
            return not_wanted(why)
        # If no other worker can look for the folder, it counts as deleted: its images are recorded as unreadable.
        if missing is not None and (answer := diversion.divert_unless_alone(missing)) is not None:
            return answer
        with job_span("commit", attempt.job.uid):
            return self._commit(attempt, results)

    def _load_networks(self, attempt: _Attempt) -> Networks:
        """The networks for a job. A worker that cannot serve the job raises before it sets the job's runtime."""
        job, mine = attempt.job, self._models.runtime
        check_contract(job.contract)
        if job.runtime is not None:
            check_runtime(job.runtime, mine)  # before loading, which may take minutes
        if job.options.location:
            self._objects.open(job.options.location)
        elif not job.options.inline:
            check_job_folder(self._settings.data_root, job.options.folder)
        contract = job.contract
        networks = self._models.load(contract.embedder, contract.weights, contract.weights_sha256, contract.precision)
        agreed = attempt.record.agree_on_runtime(job.uid, mine)
        if not agreed:
            raise BatchAbandoned("the job is gone")
        check_runtime(agreed, mine)
        return networks

    def _compute(self, attempt: _Attempt, networks: Networks) -> list[Result]:
        job, batch = attempt.job, attempt.batch
        runner = BatchRunner(
            self._connections.quick,
            self._settings,
            job,
            batch,
            attempt.holder,
            networks,
            self._cache(job),
            self._members,
            self._objects,
        )
        with self._profiler.measure():
            return runner.process(attempt.lease)

    def _missing_folder(self, attempt: _Attempt, results: list[Result]) -> FolderMissing | None:
        """The subfolder of unreadable images that the data root lacks; FolderMissing if it lacks the job's folder,
        LocationUnavailable if the job's objects can no longer be read.
        """
        job, batch, root = attempt.job, attempt.batch, self._settings.data_root
        unreadable = [result.record.outcome == Outcome.UNREADABLE for result in results]
        if job.options.inline or not any(unreadable):
            return None
        if job.options.location:
            self._objects.check(job.options.location, all_failed=all(unreadable))
            return None
        check_job_folder(root, job.options.folder)  # it may have disappeared while the batch ran
        if job.options.files:  # a list may name folders that nobody has
            return None
        folder = find_missing_folder(root, _files_of(batch, root) if job.options.archives else batch.images)
        return None if folder is None else folder_missing(root, folder)

    def _commit(self, attempt: _Attempt, results: list[Result]) -> TaskAnswer:
        job, batch = attempt.job, attempt.batch
        block = self._block(attempt, results)
        outcomes, faces = block.count_outcomes(), len(block.embeddings)
        totals = count_batch(outcomes, faces, (image.spent_ms for image in block.images))
        started = time.perf_counter()
        packed = block.pack()
        committed = retry_until_stored(
            lambda: attempt.record.commit(batch.uid, batch.batch, packed, outcomes, faces, totals)
        )
        self._last_commit_ms = (time.perf_counter() - started) * 1000
        if committed is Committed.LAST:
            last = Aggregate(version=1, job=batch.job, uid=batch.uid)
            retry_until_stored(lambda: send_aggregate(self._app, job.aggregate_queue, last))
        self._cache(job).keep(results)
        _log.info(
            "%s %s",
            batch.describe(),
            committed,
            extra={
                "action": "batch_committed",
                "attempt": block.attempt,
                "images": len(results),
                "faces": faces,
                "duration_s": round((block.ended_ms - block.started_ms) / 1000, 3),
            },
        )
        if committed not in (Committed.STORED, Committed.LAST):
            return not_wanted(committed)
        return TaskAnswer(kind=AnswerKind.STORED, images=len(results), faces=faces, outcomes=outcomes)

    def _block(self, attempt: _Attempt, results: list[Result]) -> Block:
        return Block(
            batch=attempt.batch.batch,
            attempt=attempt.lease.attempt,
            worker=attempt.holder.replace("/", "-"),
            started_ms=attempt.started_ms,
            ended_ms=int(time.time() * 1000),
            commit_ms=self._last_commit_ms,
            images=[result.record for result in results],
            embeddings=np.concatenate([result.embeddings for result in results]),
        )


def _stage_ms(results: list[Result]) -> dict[str, float]:
    """The milliseconds of each stage, summed over the images."""
    return {f"{stage}_ms": sum(result.record.spent_ms[stage] for result in results) for stage in STAGES}


def _files_of(batch: EmbedBatch, root: Path) -> list[RootPath]:
    """The files that a batch's images are or, as members of archives, are in."""
    if batch.stretch is not None:
        return [batch.stretch.archive]
    return [archive_of(root, image) or image for image in batch.images]
