"""The threads of a worker's main process: heartbeat and leases, subscriptions, resource samples, reconciler.

They run in the main process, so that a task that hangs in a library cannot stop them, and so that the lease of a batch
is no longer renewed after its child process has died.
"""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

from celery import bootsteps
from celery.signals import worker_shutdown

from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.store.redis_client import Client
from shared.store.worker_registry import Worker, announce, withdraw
from worker.broker.subscriptions import Subscriptions, describe
from worker.execution.active_tasks import active_tasks
from worker.execution.connections import Connections
from worker.execution.progress import Progress
from worker.models.loader import ModelLoader
from worker.supervision.heartbeat_file import beat
from worker.supervision.leases import end_leases, renew_leases
from worker.supervision.readiness import LoadedProcesses
from worker.supervision.reconciler import Reconciler
from worker.supervision.resource_sampler import Sampler
from worker.supervision.sample_log import SampleLog

_log = get_logger("background")
_HURRY_S = 0.5
_SEND_PAUSE_S = 0.2
_LOOK_S = 1.0
_HEARTBEAT_S = 2.0


@dataclass(frozen=True)
class MainProcess:
    """The objects that the threads of a worker's main process share."""

    settings: Settings
    connections: Connections
    models: ModelLoader
    progress: Progress = field(default_factory=Progress)
    loaded: LoadedProcesses = field(default_factory=LoadedProcesses)
    look_at_queues: threading.Event = field(default_factory=threading.Event)
    """Setting it triggers a lookup of the queues of diverted jobs at once."""


class BackgroundThreads(bootsteps.StartStopStep):  # type: ignore[misc]
    """Starts and ends the threads with the worker."""

    requires = frozenset({"celery.worker.components:Pool"})
    main: ClassVar[MainProcess]

    @classmethod
    def of(cls, main: MainProcess) -> type[Self]:
        """A subclass bound to a main process, because Celery creates the instance without our arguments."""
        return type(cls.__name__, (cls,), {"main": main, "__module__": cls.__module__})

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._stop = threading.Event()
        self._client: Client = self.main.connections.patient
        self._name = str(parent.hostname)
        self._sampler: Sampler | None = None
        self._reconciler: Reconciler | None = None
        self._subscriptions: Subscriptions | None = None
        self._loaded = False

    def start(self, parent: Any) -> None:
        """Called when the worker's pool is up."""
        settings, client = self.main.settings, self._client
        queues = list(parent.app.amqp.queues.consume_from)
        sampler = self._sampler = self._make_sampler(parent, queues)
        if settings.embed_queue in queues:
            self._subscriptions = Subscriptions(
                parent, client, settings.queue_prefix, self._name, self.main.look_at_queues
            )
        started_ms = int(time.time() * 1000)
        self._every(settings.lease_s / 5, partial(self._renew_and_announce, parent, queues, sampler, started_ms))
        if settings.heartbeat_file is not None:
            embeds = settings.embed_queue in queues
            self._every(_HEARTBEAT_S, partial(self._beat, parent, settings.heartbeat_file, embeds))
        if self._subscriptions is not None:
            self._every(_LOOK_S, self._subscriptions.step, wake=self.main.look_at_queues)
        self._every(settings.sample_interval_s, sampler.sample)
        self._every(_SEND_PAUSE_S, partial(sampler.send, client))
        if settings.aggregate_queue in queues:
            self._reconciler = Reconciler(parent.app, client, settings, self._name)
            self._every(settings.lease_s / 5, self._reconciler.step)
        worker_shutdown.connect(self._end, weak=False)

    def stop(self, parent: Any) -> None:
        """Called when the worker is to stop after its batches. Long batches are requeued; `_end` follows."""
        timer = threading.Timer(self.main.settings.stop_after_s, end_leases, [self._client])
        timer.daemon = True
        timer.start()

    def terminate(self, parent: Any) -> None:
        """Called when the worker is to stop at once."""
        self._end()

    def info(self, parent: Any) -> dict[str, Any]:
        """The values that `celery inspect stats` and Flower's page of this worker show."""
        refuses = describe(self._subscriptions.refused) if self._subscriptions else []
        return {"psutil": (self._sampler.latest() if self._sampler else {}) | ({"refuses": refuses} if refuses else {})}

    def _renew_and_announce(self, parent: Any, queues: list[str], sampler: Sampler, started_ms: int) -> None:
        lease_s = self.main.settings.lease_s
        renew_leases(self._client, lease_s)  # first: an announcement that fails must not cost a lease
        current = sorted(task.of.label for task in active_tasks() if task.pid is not None and task.of is not None)
        refuses = dict(self._subscriptions.refused) if self._subscriptions else {}
        host = socket.gethostname()
        me = Worker(self._name, queues, parent.concurrency, sampler.latest(), host, started_ms, current, refuses)
        announce(self._client, me, lease_s)

    def _beat(self, parent: Any, file: Path, embeds: bool) -> None:
        """The first heartbeat comes when networks are loaded: until then, a probe sees a worker that starts."""
        self._loaded = self._loaded or not embeds or bool(self.main.loaded.count(parent.pool.info.get("processes", ())))
        if self._loaded:
            beat(file)

    def _make_sampler(self, parent: Any, queues: list[str]) -> Sampler:
        settings = self.main.settings
        serves = {}
        if settings.embed_queue in queues:
            serves = {"weights": str(settings.preload_weights), **self.main.models.runtime.as_dict()}
        folder = settings.sample_log_dir
        log = SampleLog(folder, self._name, settings.log_max_mib * 2**20) if folder is not None else None
        children = lambda: parent.pool.info.get("processes", ())  # noqa: E731 - the pool replaces its processes
        return Sampler(self._name, children, self.main.progress, self.main.loaded, log, serves)

    def _end(self, **_: Any) -> None:
        self._stop.set()
        try:
            end_leases(self._client)
            if self._reconciler is not None:
                self._reconciler.resign()
            withdraw(self._client, self._name)
        # The server may be unreachable already; leases and announcement expire in seconds.
        except Exception as error:
            _log.info("could not sign off from the server: %s", error, extra={"action": "no_leave"})

    def _every(self, interval_s: float, step: Callable[[], object], wake: threading.Event | None = None) -> None:
        """Calls `step` every `interval_s` in a thread; sooner if it returns True, and at once when `wake` is set."""

        def loop() -> None:
            while not self._stop.is_set():
                hurry = False
                try:
                    hurry = bool(step())
                # The server may be unreachable for a while; the next round tries again.
                except Exception as error:
                    _log.warning("%s", error, extra={"action": "background_step_failed"})
                (wake or self._stop).wait(min(interval_s, _HURRY_S) if hurry else interval_s)

        name = getattr(step, "__name__", None) or getattr(getattr(step, "func", None), "__name__", "step")
        threading.Thread(target=loop, daemon=True, name=f"background-{name}").start()
