"""What a worker's main process does beside the work: heartbeat, leases, resource samples, reconciling.

One thread each, in the main process, so that a task which hangs in a library cannot stop them, and so that they stop for
a batch whose child has died.
"""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from celery import bootsteps
from celery.signals import worker_shutdown
from celery.worker import state

from shared.config.logs import get_logger
from shared.config.settings import Settings, get_settings
from shared.domain.job_names import is_job_name
from shared.messaging.messages import AGGREGATE_TASK, EMBED_TASK
from shared.store.jobs import JobRecord
from shared.store.redis_client import connect
from shared.store.worker_registry import Worker, announce, withdraw
from worker.broker.subscriptions import LOOK_NOW, Subscriptions, describe
from worker.execution.progress import work_in_hand
from worker.supervision.reconciler import Reconciler
from worker.supervision.resource_sampler import Sampler
from worker.supervision.sample_log import SampleLog

_log = get_logger("upkeep")
_HURRY_S = 0.5
_SEND_PAUSE_S = 0.2
_LOOK_S = 1.0


class Upkeep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Starts and ends the threads with the worker."""

    requires = frozenset({"celery.worker.components:Pool"})

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._stop = threading.Event()
        self._sampler: Sampler | None = None
        self._reconciler: Reconciler | None = None
        self._subscriptions: Subscriptions | None = None

    def start(self, parent: Any) -> None:
        """Called when the worker's pool is up."""
        settings = get_settings()
        client = connect(settings)
        name = str(parent.hostname)
        queues = list(parent.app.amqp.queues.consume_from)
        sampler = _make_sampler(parent, name, queues, settings)
        self._sampler = sampler
        host, started_ms = socket.gethostname(), int(time.time() * 1000)

        subscriptions: Subscriptions | None = None
        if settings.embed_queue in queues:
            subscriptions = self._subscriptions = Subscriptions(parent, client, settings.queue_prefix, name)

        def keep_leases() -> None:
            current = [f"{job}:{batch}" for job, batch in sorted(work_in_hand().values())]
            refuses = dict(subscriptions.refused) if subscriptions else {}
            me = Worker(name, queues, parent.concurrency, sampler.latest(), host, started_ms, current, refuses)
            announce(client, me, settings.lease_s)
            _renew_leases(client, settings.lease_s)

        self._every(settings.lease_s / 5, keep_leases)
        if subscriptions is not None:
            self._every(_LOOK_S, subscriptions.step, wake=LOOK_NOW)
        self._every(settings.sample_interval_s, sampler.sample)
        self._every(_SEND_PAUSE_S, lambda: sampler.send(client))
        if settings.aggregate_queue in queues:
            self._reconciler = Reconciler(parent.app, client, settings, name)
            self._every(settings.lease_s / 5, self._reconciler.step)
        self._client, self._name = client, name
        worker_shutdown.connect(self._end, weak=False)

    def stop(self, parent: Any) -> None:
        """Called when the worker is to end after its batches. Those that take too long are handed back; `_end` follows."""
        timer = threading.Timer(get_settings().stop_after_s, _give_back, [self._client])
        timer.daemon = True
        timer.start()

    def terminate(self, parent: Any) -> None:
        """Called when the worker is to end at once."""
        self._end()

    def _end(self, **_: Any) -> None:
        self._stop.set()
        try:
            _give_back(self._client)
            if self._reconciler is not None:
                self._reconciler.resign()
            withdraw(self._client, self._name)
        # The server may be gone already; leases and entry run out in seconds.
        except Exception as error:
            _log.info("could not take leave of the server: %s", error, extra={"action": "no_leave"})

    def info(self, parent: Any) -> dict[str, Any]:
        """Merged into `celery inspect stats`, and so into Flower's page of this worker."""
        refuses = describe(self._subscriptions.refused) if self._subscriptions else []
        return {"psutil": (self._sampler.latest() if self._sampler else {}) | ({"refuses": refuses} if refuses else {})}

    def _every(self, interval_s: float, step: Callable[[], bool | None], wake: threading.Event | None = None) -> None:
        """Calls `step` again and again; where it returns True, again very soon, and when `wake` is set, at once."""

        def loop() -> None:
            while not self._stop.is_set():
                hurry = False
                try:
                    hurry = bool(step())
                # The server may be away for a while; the next round tries again.
                except Exception as error:
                    _log.warning("%s", error, extra={"action": "upkeep_failed"})
                (wake or self._stop).wait(min(interval_s, _HURRY_S) if hurry else interval_s)

        threading.Thread(target=loop, daemon=True, name=f"upkeep-{getattr(step, '__name__', 'step')}").start()


def _make_sampler(parent: Any, name: str, queues: list[str], settings: Settings) -> Sampler:
    from worker.models.loader import runtime

    serves = {}
    if settings.embed_queue in queues:
        serves = {"weights": str(settings.preload_weights), **runtime(settings).as_dict()}
    folder = settings.sample_log_dir
    log = SampleLog(folder, name, settings.log_max_mib * 2**20) if folder is not None else None
    return Sampler(name, lambda: parent.pool.info.get("processes", ()), log, serves)


def _give_back(client: Any) -> None:
    """Ends the leases of batches that this worker leaves unfinished, so that another has them at once.

    The process at work on one notices before its next image, and stops.
    """
    for request in list(state.active_requests):
        job, _, rest = request.id.partition(":")
        batch = rest.partition(":")[0]
        if request.name == EMBED_TASK and batch.isdecimal() and is_job_name(job):
            JobRecord(client, job).give_back(int(batch), f"{request.hostname}/{request.worker_pid}")


def _renew_leases(client: Any, lease_s: float) -> None:
    for request in list(state.active_requests):
        job, _, rest = request.id.partition(":")
        batch = rest.partition(":")[0]
        holder = f"{request.hostname}/{request.worker_pid}"
        if not is_job_name(job):
            continue
        if request.name == EMBED_TASK and batch.isdecimal():  # somebody else's id must not cost the others their leases
            JobRecord(client, job).renew(int(batch), holder, lease_s)
        elif request.name == AGGREGATE_TASK:
            JobRecord(client, job).renew_aggregation(holder, lease_s)
