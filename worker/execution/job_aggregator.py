"""The steps of an aggregation: lease it, write results and report, finish the record, end the lease."""

import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

import redis
from celery import Celery

from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.domain.errors import FaceQueueError, JobNotFound, RecordUnreadable
from shared.domain.job import Job, JobState
from shared.domain.paths import RootPath
from shared.messaging.messages import Aggregate
from shared.results.failed_list import failed_images
from shared.store.finishing import Finished
from shared.store.jobs import JobRecord
from shared.tracing.spans import job_span, note_whole_job
from worker.aggregation.pair_stage import PairStage
from worker.aggregation.report_process import ReportProcess
from worker.aggregation.results_writer import Written, job_rows, write_results
from worker.aggregation.rows import Row
from worker.aggregation.sample_reader import samples_between
from worker.aggregation.spilling import read_blocks, remove_spill_file
from worker.answers import AnswerKind, TaskAnswer, not_wanted
from worker.execution.connections import Connections
from worker.execution.retrying import retry_until_stored
from worker.execution.second_stage import SecondStage

_log = get_logger("tasks")


@dataclass(frozen=True)
class _Claim:
    """A job whose aggregation this process has leased."""

    record: JobRecord
    job: Job
    holder: str


class JobAggregator:
    """Aggregates the jobs that a worker process takes."""

    def __init__(self, settings: Settings, app: Celery, connections: Connections, threads: int) -> None:
        """`threads` is the number of threads for the distance matrix."""
        self._settings, self._app, self._connections, self._threads = settings, app, connections, threads

    def aggregate(self, wanted: Aggregate, worker: str) -> TaskAnswer:
        """Writes the results of a complete job, unless they are written or another process writes them.

        A problem that the user can solve is recorded in the job record and in the answer. After a redis.RedisError the
        lease ends or expires, and the reconciler requeues the aggregation.
        """
        record, holder = JobRecord(self._connections.patient, wanted.job), f"{worker}/{os.getpid()}"
        try:
            job = record.load()
        except JobNotFound as error:
            return not_wanted(error)
        except RecordUnreadable as error:
            record.note_refusal(wanted.uid, worker, str(error))
            return not_wanted(error)
        if job.uid != wanted.uid or job.state != JobState.SEALED or not job.complete:
            return not_wanted(f"job {job.state}")
        if job.comparing:
            return not_wanted("its faces are being compared")
        if not record.claim_aggregation(holder, self._settings.lease_s, uid=wanted.uid):
            return not_wanted("another aggregator writes the results")
        with job_span("aggregate", job.uid, job=job.name) as span:
            answer = self._aggregate_claimed(_Claim(record, job, holder))
            span.note(answer=answer.kind)
        if answer.kind is AnswerKind.FINISHED:
            values = {"images": job.images, "faces": job.faces, "failed": job.failed, "retries": job.retries}
            began_ms = job.created_ms if not job.retries or job.started_ms is None else job.started_ms
            note_whole_job(job.uid, began_ms, job=job.name, **values)
        return answer

    def _aggregate_claimed(self, claim: _Claim) -> TaskAnswer:
        job, problem = claim.job, None
        try:
            with job_span("prepare", job.uid):
                prepared = self._second_stage(claim).prepare(lambda: self._rows(claim))
            if isinstance(prepared, TaskAnswer):
                return prepared
            finished = self._write(claim, prepared)
        except FaceQueueError as error:
            problem = str(error)
            _log.error("%s", problem, extra={"action": "aggregation_failed"})
        except (redis.ConnectionError, redis.TimeoutError, redis.OutOfMemoryError):
            raise
        except Exception as error:
            # An unexpected error. Without a reason in the record the aggregation would be retried forever, and `follow`
            # would wait forever.
            problem = (
                f"The results could not be written: {type(error).__name__}: {error}. The aggregator's log has more."
            )
            _log.exception("job %s: %s", job.name, problem, extra={"action": "aggregation_failed"})
        finally:
            # Also after a server error: once the server is back, the next aggregator need not wait until the lease
            # expires.
            retry_until_stored(lambda: claim.record.release_aggregation(job.uid, claim.holder, problem))
        if problem is not None:
            return TaskAnswer(kind=AnswerKind.FAILED, reason=problem)
        _log.info(
            "job %s %s",
            job.name,
            finished,
            extra={"action": "job_aggregated", "images": job.images, "faces": job.faces},
        )
        if finished is not Finished.FINISHED:
            return not_wanted(finished)
        return TaskAnswer(kind=AnswerKind.FINISHED, images=job.images, faces=job.faces)

    def _second_stage(self, claim: _Claim) -> SecondStage:
        return SecondStage(self._settings, self._app, self._connections.patient, claim.job, claim.holder)

    def _rows(self, claim: _Claim) -> Iterable[Row]:
        settings, job = self._settings, claim.job
        blocks = read_blocks(self._connections.patient, job, settings.results_dir)
        return job_rows(job, blocks, self._retried(claim), settings.results_dir / job.name)

    def _retried(self, claim: _Claim) -> dict[int, RootPath]:
        job = claim.job
        return failed_images(claim.record, job, self._settings.results_dir) if job.retries else {}

    def _write(self, claim: _Claim, stage: PairStage | None) -> Finished:
        """Writes results and report, and finishes the record unless the server refuses that.

        Whoever follows the job may show the results before the report is written. If this process dies meanwhile, the
        job is not finished, and the next aggregator writes the same results again.
        """
        settings, job = self._settings, claim.job
        with ExitStack() as stack:
            report = None
            if job.options.report:
                report = stack.enter_context(ReportProcess(job, settings.results_dir / job.name, settings.data_root))
            with job_span("write", job.uid):
                written = self._write_results(claim, stage)
            retry_until_stored(lambda: claim.record.note_published(job.uid, claim.holder))
            if report is not None:
                with job_span("report", job.uid):
                    report.write()
        finished = retry_until_stored(
            lambda: claim.record.finish(job, claim.holder, settings.job_ttl_s, written.failed)
        )
        if finished is Finished.FINISHED:
            remove_spill_file(self._connections.patient, job, settings.results_dir)
            if stage is not None:
                stage.remove()
        return finished

    def _write_results(self, claim: _Claim, stage: PairStage | None) -> Written:
        settings, client, job = self._settings, self._connections.patient, claim.job
        since_ms = job.started_ms or job.created_ms
        return write_results(
            job,
            read_blocks(client, job, settings.results_dir),
            self._retried(claim),
            settings.results_dir,
            resources=lambda: samples_between(client, since_ms),
            profiles=settings.profile_dir,
            threads=self._threads,
            distances_max_bytes=settings.distances_max_gib * 2**30,
            may_publish=lambda: retry_until_stored(lambda: self._holds(claim)),
            stage=stage,
        )

    def _holds(self, claim: _Claim) -> bool:
        """Whether the claim is still this process's, or is again: nobody has taken it since it ran out."""
        record, job = claim.record, claim.job
        if record.holds_aggregation(claim.holder):
            return True
        again = record.claim_aggregation(claim.holder, self._settings.lease_s, uid=job.uid)
        return again and record.load().state == JobState.SEALED
