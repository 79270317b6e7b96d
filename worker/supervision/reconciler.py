"""The reconciler: requeues lost batches and aggregations, fills queues that nobody fills, removes stalled empty jobs,
and completes interrupted removals.

A batch is lost if its message or its worker is gone; an aggregation is lost if no aggregator has it. Each step first
moves blocks to spill files if memory is short. A step is short however many jobs there
are: it handles some jobs, and the next step continues with the rest.

Every worker that serves the aggregate queue has a reconciler. A lock lets only one of them run at a time.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import redis

from shared.config.logs import get_logger, log_fields
from shared.config.settings import Settings
from shared.dispatch.dispatcher import Dispatcher, message_of, send_message
from shared.domain.job import Job, JobState
from shared.domain.task_ids import aggregated_job, embed_task_id
from shared.messaging.celery_app import send_aggregate
from shared.messaging.messages import Aggregate, PairTile
from shared.store.foreign_keys import set_aside_foreign_keys
from shared.store.jobs import JobRecord, load_jobs
from shared.store.keys import DIVERTED, REGISTRY, reconciler_key, reconciler_lease_key
from shared.store.redis_client import Client, server_time_ms
from shared.store.registry import enter_all_jobs, forget_missing, some_names, tidy, unfinished_names
from shared.store.scripts import run_script
from shared.store.turns import note_processes, without_turn
from shared.store.worker_registry import living_workers
from worker.execution.refilling import refill
from worker.supervision.spill_policy import SpillPolicy
from worker.supervision.watched_queues import WatchedQueues

_log = get_logger("reconcile")
Suspect = tuple[str, int, str]
"""Job, batch, send number."""
Suspects = dict[Suspect, float]
_MOST_AGGREGATIONS = 5
_STEP_S = 0.03
_JOBS_AT_ONCE = 25
_DAY_MS = 86_400_000


@dataclass
class _Round:
    """One pass over all unfinished jobs of these queues, in as many steps as it needs."""

    after: str | None = None
    """The index entry after which the next step continues."""
    waiting: set[str] | None = None
    """The task ids of the batches in the queues; None until they are read."""
    aggregate: set[str] | None = None
    """The task ids of aggregations and tiles in their queue; None until they are read."""
    suspects: Suspects = field(default_factory=dict)
    seen: dict[str, Job] = field(default_factory=dict)
    """The unfinished jobs of this pass, by uid."""
    before: dict[str, Job] = field(default_factory=dict)
    """The jobs of the previous pass: their blocks count as well when memory is short."""


class Reconciler:
    """Reconciles the unfinished jobs of this worker's queues, in steps."""

    def __init__(self, app: Any, client: Client, settings: Settings, name: str) -> None:
        self._app, self._client, self._settings, self._name = app, client, settings, name
        self._lock = reconciler_key(settings.queue_prefix)
        # A message that was just taken looks lost until its worker leases the batch. A batch is therefore requeued only
        # if it looks lost twice, a third of a lease apart. Value: when it first looked lost.
        self._suspects: Suspects = {}
        self._round = _Round()
        self._stalled: set[str] = set()  # jobs that were logged as stalled
        self._unread: set[str] = set()  # what was logged of records that cannot be read
        self._damaged: set[str] = set()  # ended jobs whose records were logged as damaged
        self._registry_place, self._registry_checked = 0, False
        self._spill_policy = SpillPolicy(client, settings)
        self._queues = WatchedQueues(client, settings)
        self._dispatcher = Dispatcher(client, app, settings, settings.queue_prefix, despite_oom=True)

    def step(self) -> bool:
        """Takes one step. Returns whether the next one should follow very soon."""
        if {REGISTRY, DIVERTED} & set(set_aside_foreign_keys(self._client, self._settings.queue_prefix)):
            enter_all_jobs(self._client)
        if not self._is_elected():
            return False
        try:
            self._tidy_registry()
        finally:
            hurry = self._look_at_some()
        return hurry or not self._registry_checked

    @contextmanager
    def _guarded(self, name: str, job: Job | None = None) -> Iterator[None]:
        """A damaged record is a problem of its job, and costs the others nothing. One that has ended (no `job`) is only
        said to be damaged.
        """
        with log_fields(job=name):
            try:
                yield
            except redis.OutOfMemoryError:
                raise
            except (ValueError, redis.ResponseError) as error:
                problem = f"The record of job '{name}' is damaged ({error}). Cancel the job and enqueue it again."
                if job is None:
                    is_news = name not in self._damaged
                    self._damaged.add(name)
                else:
                    is_news = JobRecord(self._client, name).note_problem(job.uid, problem, lost=job.lost_aggregations)
                if is_news:
                    _log.error("%s", problem, extra={"action": "record_damaged"})

    def _tidy_registry(self) -> None:
        """Checks some names of the registry, of any queue prefix, and completes interrupted removals and finishings.

        The process that was interrupted may not be alive any more.
        """
        names, self._registry_place = some_names(self._client, self._registry_place)
        self._registry_checked |= self._registry_place == 0
        for name in tidy(self._client, names):
            with self._guarded(name):
                JobRecord(self._client, name).complete(self._settings.job_ttl_s)

    def _look_at_some(self) -> bool:
        """Continues the pass for a short time. Returns whether the next step should follow soon."""
        deadline = time.monotonic() + _STEP_S
        now_ms, hurry = server_time_ms(self._client), None
        this, prefix = self._round, self._settings.queue_prefix
        if this.after is None:
            self._note_processes()
            self._queues.look()
        while True:
            names, this.after = unfinished_names(self._client, prefix, this.after, _JOBS_AT_ONCE)
            jobs = load_jobs(self._client, names, self._note_unread)
            for name in {*names} - {job.name for job in jobs}:
                forget_missing(self._client, prefix, name)
            jobs = [job for job in jobs if job.unfinished and not self._is_removed(job, now_ms)]
            this.seen |= {job.uid: job for job in jobs}
            if hurry is None:
                hurry = self._spill_policy.step([job for job in (this.before | this.seen).values() if job.block_bytes])
            # The queues are read before the records: a batch that is sent or taken in between looks lost at most once.
            if jobs and this.waiting is None:
                this.waiting = self._queues.batches()
            second = [job for job in jobs if job.state == JobState.SEALED and job.complete]
            if second and this.aggregate is None:
                this.aggregate = self._queues.tasks_in(self._settings.aggregate_queue)
            to_aggregate = [job for job in second if not job.comparing and job.problem is None]
            waiting = (this.waiting or set()) | (this.aggregate or set())
            self._fill_queues(jobs)
            for job in jobs:
                with self._guarded(job.name, job):
                    self._send_lost_batches(job, waiting, this.suspects)
            aggregations = {aggregated_job(task) for task in this.aggregate or ()}
            for job in to_aggregate:
                if job.name not in aggregations and self._queues.is_usable(self._settings.aggregate_queue):
                    with self._guarded(job.name, job):
                        self._send_lost_aggregation(job, this.suspects)
            if this.after is None:
                self._suspects, self._round = this.suspects, _Round(before=this.seen)
                return hurry
            if time.monotonic() > deadline:
                return True

    def _fill_queues(self, jobs: Sequence[Job]) -> None:
        """Gives each of these jobs its turn, if its producer died before that, and fills queues that nobody fills."""
        for job in without_turn(self._client, jobs):
            with self._guarded(job.name, job):
                JobRecord(self._client, job.name).queue_up(job.uid, job.turns_queue)
        fills = {
            self._settings.embed_queue: self._dispatcher.fill_embed,
            self._settings.aggregate_queue: self._dispatcher.fill_aggregate,
        }
        for queue, fill in fills.items():
            if self._queues.is_usable(queue):
                refill(fill)

    def _note_processes(self) -> None:
        settings, workers = self._settings, living_workers(self._client)
        for queue in (settings.embed_queue, settings.aggregate_queue):
            note_processes(self._client, queue, sum(one.processes for one in workers if queue in one.queues))

    def _note_unread(self, line: str) -> None:
        """Logs once that a record cannot be read: only a reconciler of the version that made it can see to its job."""
        if line not in self._unread:
            self._unread.add(line)
            _log.warning("%s", line, extra={"action": "record_unread"})

    def _is_removed(self, job: Job, now_ms: int) -> bool:
        """Whether the job was removed as past its time, as far as its record can be."""
        with self._guarded(job.name, job):
            return self._is_past_its_time(job, now_ms)
        return True

    def _is_past_its_time(self, job: Job, now_ms: int) -> bool:
        """Removes a stalled job without batches; returns whether it was removed.

        A stalled job with batches is only logged. It continues when workers come.
        """
        if not job.is_stalled(now_ms, self._settings.job_ttl_s):
            self._stalled.discard(job.uid)
            return False
        if not job.batches:
            removed = JobRecord(self._client, job.name).delete(job)
            if removed:
                _log.info("stalled job %s without batches removed", job.name, extra={"action": "job_expired"})
            return removed
        if job.uid not in self._stalled:
            self._stalled.add(job.uid)
            _log.warning(
                "job %s is stalled: no news for %.1f days. It continues when workers come, or can be cancelled",
                job.name,
                (now_ms - job.updated_ms) / _DAY_MS,
                extra={"action": "job_stalled"},
            )
        return False

    def resign(self) -> None:
        """Releases the lock, so that another worker can take over at once."""
        run_script(self._client, "resign", [self._lock], [self._name])

    def _is_elected(self) -> bool:
        keys = [self._lock, reconciler_lease_key(self._settings.queue_prefix)]
        return bool(run_script(self._client, "elect", keys, [self._name, int(self._settings.lease_s * 1000)]))

    def _send_lost_batches(self, job: Job, waiting: set[str], suspects: Suspects) -> None:
        record = JobRecord(self._client, job.name)
        if job.comparing and job.problem is not None:  # until somebody asks for the job again
            return
        if not self._queues.all_usable and not self._queues.is_usable(self._queue_of(job)):
            return
        for batch, send in record.find_unleased().items():
            if embed_task_id(job.name, batch, send) in waiting or not self._is_lost((job.uid, batch, send), suspects):
                continue
            again = record.resend(job.uid, batch, send)
            if again is None:
                continue
            message = message_of(job.name, job.uid, batch, again, job.stage)
            is_tile = isinstance(message, PairTile)
            queue = self._settings.aggregate_queue if is_tile else record.embed_queue()
            send_message(self._app, self._settings, queue, message, again=True)
            action = {"action": "tile_resent"} if is_tile else {"action": "batch_resent"}
            _log.warning("%s was lost and is requeued", message.describe(), extra={**action, "batch": batch})

    def _queue_of(self, job: Job) -> str:
        return job.aggregate_queue if job.comparing else JobRecord(self._client, job.name).embed_queue()

    def _is_lost(self, key: Suspect, suspects: Suspects) -> bool:
        now = time.monotonic()
        first_seen = self._suspects.get(key, now)
        if now - first_seen >= self._settings.lease_s / 3:
            return True
        suspects[key] = first_seen
        return False

    def _send_lost_aggregation(self, job: Job, suspects: Suspects) -> None:
        record = JobRecord(self._client, job.name)
        if record.aggregation_claimed() or not self._is_lost((job.uid, -1, "aggregation"), suspects):
            return
        if job.lost_aggregations >= _MOST_AGGREGATIONS:
            problem = (
                f"The aggregator died {_MOST_AGGREGATIONS} times while it wrote the results of job '{job.name}'; is "
                "memory short? Its log says more."
            )
            _log.error("%s", problem, extra={"action": "aggregation_given_up"})
            record.note_problem(job.uid, problem, lost=job.lost_aggregations)
            return
        send_aggregate(self._app, self._settings.aggregate_queue, Aggregate(version=1, job=job.name, uid=job.uid))
        # Counted after the sending: an aggregation that was never sent does not count.
        record.count_lost_aggregation(job.uid)
        _log.warning(
            "the aggregation of job %s was lost and is requeued", job.name, extra={"action": "aggregation_resent"}
        )
