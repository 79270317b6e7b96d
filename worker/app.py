"""The composition root of a worker: creates and connects everything that needs settings, connections or networks.

`python -m worker` calls `make_worker`. `celery -A worker.app worker` uses the module's `app`.
"""

import logging
import os
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging, worker_init, worker_process_init, worker_process_shutdown

from shared.config.logs import get_logger, log_to_stderr, name_worker
from shared.config.settings import Settings, load_settings
from shared.domain.cpu_limits import usable_cores
from shared.messaging.celery_app import make_celery
from shared.tracing.spans import begin_tracing, can_trace, end_tracing, why_not_traced
from worker.answers import show_line_in_log
from worker.broker.transport import use_guarded_transport
from worker.execution.batch_executor import BatchExecutor
from worker.execution.connections import Connections
from worker.execution.crash_attribution import BatchMonitor, TileMonitor
from worker.execution.job_aggregator import JobAggregator
from worker.execution.tile_executor import TileExecutor
from worker.models.loader import ModelLoader
from worker.supervision.background_threads import BackgroundThreads, MainProcess
from worker.supervision.readiness import LoadedProcesses
from worker.tasks import AggregateTask, EmbedBatchTask, PairTileTask

_log = get_logger("worker")


def make_worker(settings: Settings) -> Celery:
    """The Celery application of a worker with these settings. Nothing is connected or loaded yet."""
    app = make_celery(settings)
    models = ModelLoader(settings)
    # Not shared: a child that forks while another thread uses a connection pool inherits the pool's locked lock.
    main = MainProcess(settings, Connections(settings), models)
    in_child = Connections(settings)
    use_guarded_transport(main.connections.event_loop)
    monitor = BatchMonitor(settings, app, main.connections, main.progress, on_refusal=main.look_at_queues.set)
    app.register_task(EmbedBatchTask(in_child, BatchExecutor(settings, app, in_child, models), monitor))
    app.register_task(AggregateTask(in_child, JobAggregator(settings, app, in_child, usable_cores())))
    tiles = TileExecutor(settings, app, in_child)
    tile_monitor = TileMonitor(settings, app, main.connections, main.progress, on_refusal=lambda: None)
    app.register_task(PairTileTask(in_child, tiles, tile_monitor))
    app.conf.worker_consumer = "worker.broker.consumer:Consumer"
    app.conf.worker_pool = "worker.execution.process_pool:ProcessPool"
    app.steps["worker"].add(BackgroundThreads.of(main))
    _share_cores(tiles)
    _load_networks_in_children(app, settings, models, main.loaded)
    _set_up_logs(settings)
    _trace_jobs(settings)
    return app


def _share_cores(tiles: TileExecutor) -> None:
    """The processes of a worker compute tiles at the same time."""

    def before_the_fork(sender: Any, **_: Any) -> None:
        tiles.threads = max(1, usable_cores() // int(sender.concurrency or 1))

    worker_init.connect(before_the_fork, weak=False)


def _load_networks_in_children(app: Celery, settings: Settings, models: ModelLoader, loaded: LoadedProcesses) -> None:
    """In a worker that embeds: prepares the networks before the pool forks, and loads them in each child process."""

    def embeds() -> bool:
        return settings.embed_queue in app.amqp.queues.consume_from  # known once the command line has been parsed

    def before_the_fork(sender: Any, **_: Any) -> None:
        if embeds():
            models.prepare(processes=int(sender.concurrency or 1))
            # For OpenMP, which reads it when a child loads the first library that uses it.
            os.environ.setdefault("OMP_NUM_THREADS", str(models.threads))

    def after_the_fork(**_: Any) -> None:
        if embeds():
            models.preload()
            loaded.note_this()

    worker_init.connect(before_the_fork, weak=False)
    worker_process_init.connect(after_the_fork, weak=False)


def _set_up_logs(settings: Settings) -> None:
    def name(sender: Any, **_: Any) -> None:
        name_worker(str(sender))

    def begin(loglevel: Any = "INFO", **_: Any) -> None:
        log_to_stderr(settings.log_format, loglevel)
        logging.getLogger("celery.app.trace").addFilter(show_line_in_log)

    celeryd_init.connect(name, weak=False)
    setup_logging.connect(begin, weak=False)
    if settings.log_format == "json":
        begin()  # warnings come before Celery's signal
        from celery.apps import worker

        worker.safe_say = _say_in_log  # Celery writes what it does on a signal past its log


def _trace_jobs(settings: Settings) -> None:
    """Child processes trace what they do for a job. The main process has no part of a job to time."""
    endpoint = settings.otel_exporter_otlp_endpoint
    if endpoint is None:
        return
    if (missing := why_not_traced(endpoint)) is not None:
        _log.warning("%s", missing, extra={"action": "not_traced"})
        return
    if not can_trace():  # imports it before the fork, once for all children
        return

    def after_the_fork(**_: Any) -> None:
        begin_tracing(endpoint, "facequeue-worker")

    def before_the_end(**_: Any) -> None:
        end_tracing()

    worker_process_init.connect(after_the_fork, weak=False)
    worker_process_shutdown.connect(before_the_end, weak=False)


def _say_in_log(message: str, _: Any = None) -> None:
    _log.info("%s", message.strip(), extra={"action": "worker_signal"})


def __getattr__(name: str) -> Celery:
    """Creates `app` when `celery -A worker.app` asks for it. `python -m worker` gets its settings from its command
    line.
    """
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault("app", make_worker(load_settings()))
