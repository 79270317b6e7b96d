"""The two tasks: embed a batch, aggregate a job. They decode the message, call, and hand over."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import redis
from celery import Task
from celery.exceptions import Ignore

from shared.config.logs import get_logger
from shared.config.settings import get_settings
from shared.domain.errors import (
    BadMessage,
    ContractError,
    FaceQueueError,
    FolderMissing,
    JobNotFound,
    RecordUnreadable,
    WeightsError,
)
from shared.domain.outcomes import Outcome
from shared.messaging.celery_app import SERVER_PATIENCE_S, send_aggregate
from shared.messaging.messages import AGGREGATE_TASK, EMBED_TASK, Aggregate, EmbedBatch, parse_message
from shared.results.failed_list import failed_images
from shared.store.jobs import Job, JobRecord
from shared.store.redis_client import Client, connect
from shared.store.totals import count_batch
from worker.aggregation.report_process import write_report
from worker.aggregation.results_writer import write_results
from worker.aggregation.spilling import read_blocks, remove_spool
from worker.app import app, processes
from worker.batch_result import Block
from worker.broker.rejection import refuse
from worker.execution.batch_runner import NotWanted, Run
from worker.execution.crash_attribution import BatchTask
from worker.execution.diversion import Diversion
from worker.execution.image_cache import ImageCache
from worker.execution.mount import check_job_folder, find_missing_parent, missing_parent
from worker.execution.profiling import profiled
from worker.models import loader as models
from worker.models.cpu_limits import usable_cores
from worker.supervision.sample_streams import samples_between
from worker.vision.pipeline import Networks, Result

_log = get_logger("tasks")
_commit_ms = 0.0  # of this process's last commit
T = TypeVar("T")


@lru_cache(maxsize=1)
def _client() -> Client:
    return connect(get_settings())


@lru_cache(maxsize=1)
def _quick_client() -> Client:
    """For what is asked while an image's time runs: a server that hangs must not look like an image that does."""
    return connect(get_settings(), read_timeout_s=5.0, connect_timeout_s=2.0, retries=0)


def _patiently(call: Callable[[], T]) -> T:
    """Repeats a call while the server is away or full: what was computed is kept until it can be stored."""
    deadline = time.monotonic() + SERVER_PATIENCE_S
    pause_s = 0.2
    while True:
        try:
            return call()
        except (redis.ConnectionError, redis.TimeoutError, redis.OutOfMemoryError) as error:
            if time.monotonic() > deadline:
                raise
            _log.warning(
                "the server does not take the result (%s); trying again", error, extra={"action": "server_wait"}
            )
            time.sleep(pause_s)
            pause_s = min(5.0, pause_s * 2)


@contextmanager
def _parked_if_bad(name: str, body: object) -> Iterator[None]:
    try:
        yield
    except BadMessage as error:
        refuse(name, error, body)
        raise Ignore(str(error)) from None


@app.task(bind=True, base=BatchTask, name=EMBED_TASK, max_retries=0)
def embed_batch(self: Task, message: Any = None, **unknown: Any) -> str:
    """Embeds one batch and commits its block. What happens to an image is in its record, never an exception."""
    global _commit_ms
    with _parked_if_bad(self.name, {"message": message, **unknown}):
        if unknown:
            raise BadMessage(f"unknown arguments: {', '.join(sorted(unknown))}")
        batch = parse_message(EmbedBatch, message)
    record = JobRecord(_client(), batch.job)
    holder = f"{self.request.hostname}/{os.getpid()}"
    try:
        job = record.load()
    except (JobNotFound, RecordUnreadable) as error:
        return f"not wanted: {error}"
    diversion = Diversion(_client(), app, job, batch, str(self.request.hostname), holder)
    if job.uid == batch.uid and (reason := diversion.known_reason()):
        return diversion.pass_on(reason)
    started_ms = time.time() * 1000
    lease = record.take(batch.uid, batch.batch, batch.send, holder, get_settings().lease_s, images=len(batch.images))
    if isinstance(lease, str):
        return f"not wanted: {lease}"
    try:
        networks = _networks_for(job, record)
        diversion.forget()
        cache = _cache(job)
        with profiled(get_settings().profile_dir):
            results = Run(_quick_client(), job, batch, holder, networks, cache).process(lease)
        missing = _missing_folder(job, batch, results)
    except (ContractError, WeightsError, FolderMissing) as error:
        return str(diversion.divert(error))
    except NotWanted as why:
        return f"not wanted: {why}"
    # Where no other worker can look, the folder is gone: its images are recorded as unreadable.
    if missing is not None and (answer := diversion.divert(missing, unless_alone=True)) is not None:
        return answer
    block = Block(
        batch=batch.batch, attempt=lease.attempt, worker=holder.replace("/", "-"), started_ms=int(started_ms),
        ended_ms=int(time.time() * 1000), commit_ms=_commit_ms, images=[result.record for result in results],
        embeddings=np.concatenate([result.embeddings for result in results]),
    )  # fmt: skip
    outcomes, faces = block.count_outcomes(), len(block.embeddings)
    totals = count_batch(outcomes, faces, (image.spent_ms for image in block.images))
    packing = time.perf_counter()
    answer = _patiently(lambda: record.commit(batch.uid, batch.batch, block.pack(), outcomes, faces, totals))
    _commit_ms = (time.perf_counter() - packing) * 1000
    if answer == "last":
        last = Aggregate(version=1, job=batch.job, uid=batch.uid)
        _patiently(lambda: send_aggregate(app, job.aggregate_queue, last))
    cache.keep(results)
    _log.info("%s %s", batch.describe(), answer, extra={"action": "batch_committed"})
    return f"{answer}: {faces} faces, " + ", ".join(f"{n} {outcome}" for outcome, n in outcomes.items())


def _cache(job: Job) -> ImageCache:
    settings = get_settings()
    runtime = models.runtime(settings).as_dict()
    return ImageCache(_quick_client(), job.contract, runtime, settings.cache_ttl_s, settings.cache_max_mib)


def _networks_for(job: Job, record: JobRecord) -> Networks:
    """The networks for a job. Whoever cannot serve it raises before the job's runtime is agreed upon."""
    settings = get_settings()
    mine = models.runtime(settings)
    models.check_contract(job.contract)
    if job.runtime is not None:
        models.check_runtime(job.runtime, mine)  # before loading, which may take minutes
    if not job.options.inline:
        check_job_folder(settings.data_root, job.options.folder)
    threads = models.thread_count(settings, processes())
    networks = models.load_networks(job.contract.weights, job.contract.weights_sha256, settings, threads)
    agreed = record.agree_on_runtime(job.uid, mine)
    if not agreed:
        raise NotWanted("the job is gone")
    models.check_runtime(agreed, mine)
    return networks


def _missing_folder(job: Job, batch: EmbedBatch, results: list[Result]) -> FolderMissing | None:
    """Which subfolder is not in this worker's data root, where images could not be read; raises where it is the job's own."""
    if job.options.inline or not any(result.record.outcome == Outcome.UNREADABLE for result in results):
        return None
    root = get_settings().data_root
    check_job_folder(root, job.options.folder)  # it may have gone while the batch ran
    parent = find_missing_parent(root, batch.images)
    return None if parent is None else missing_parent(root, parent)


@app.task(bind=True, name=AGGREGATE_TASK, max_retries=0, soft_time_limit=None, time_limit=None)
def aggregate(self: Task, message: Any = None, **unknown: Any) -> str:
    """Writes the results of a complete job. Safe to run twice, and twice at once."""
    with _parked_if_bad(self.name, {"message": message, **unknown}):
        if unknown:
            raise BadMessage(f"unknown arguments: {', '.join(sorted(unknown))}")
        wanted = parse_message(Aggregate, message)
    record = JobRecord(_client(), wanted.job)
    settings = get_settings()
    holder = f"{self.request.hostname}/{os.getpid()}"
    try:
        job = record.load()
    except (JobNotFound, RecordUnreadable) as error:
        return f"not wanted: {error}"
    if job.uid != wanted.uid or job.state != "sealed" or not job.complete:
        return f"not wanted: job {job.state}"
    if not record.claim_aggregation(holder, settings.lease_s, uid=wanted.uid):
        return "not wanted: somebody else writes the results"
    problem = None
    try:
        since_ms = job.started_ms or job.created_ms
        written = write_results(
            job, read_blocks(_client(), job, settings.results_dir),
            failed_images(record, job, settings.results_dir) if job.retries else {}, settings.results_dir,
            resources=lambda: samples_between(_client(), since_ms), profiles=settings.profile_dir, threads=usable_cores(),
            distances_max_bytes=settings.distances_max_gib * 2**30,
            may_publish=lambda: _patiently(lambda: record.holds_aggregation(holder)),
        )  # fmt: skip
        write_report(job, settings.results_dir / job.name, settings.data_root)
        answer = _patiently(lambda: record.finish(job, holder, settings.job_ttl_s, written.failed))
        if answer == "finished":
            remove_spool(_client(), job, settings.results_dir)
    except FaceQueueError as error:
        problem = str(error)
        _log.error("%s", problem, extra={"action": "aggregation_failed"})
        answer = "failed"
    except redis.RedisError:
        raise  # the lease runs out, and the reconciler sees to it that it is done again
    except Exception as error:
        # Not foreseen: without a word in the record it would be tried for ever, and whoever follows would wait.
        problem = f"The results could not be written: {type(error).__name__}: {error}. The aggregator's log has more."
        _log.exception("job %s: %s", job.name, problem, extra={"action": "aggregation_failed"})
        answer = "failed"
    finally:
        record.release_aggregation(job.uid, holder, problem)
    _log.info("job %s %s", job.name, answer, extra={"action": "job_aggregated"})
    return f"{answer}: {job.images} images, {job.faces} faces"
