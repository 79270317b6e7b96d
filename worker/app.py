"""The worker's Celery application: `celery -A worker.app worker`, or `python -m worker`."""

import os
from typing import Any

from celery.signals import setup_logging, worker_init, worker_process_init

from shared.config.logs import log_to_stderr
from shared.config.settings import get_settings
from shared.domain.contract import KNOWN_WEIGHTS
from shared.messaging.celery_app import make_celery
from worker.broker.transport import use_guarded_transport
from worker.supervision.background_threads import Upkeep
from worker.supervision.readiness import note_loaded

use_guarded_transport()
app = make_celery(get_settings())
app.conf.imports = ("worker.tasks",)
app.conf.worker_consumer = "worker.broker.consumer:Consumer"
app.steps["worker"].add(Upkeep)
_processes = 1


def processes() -> int:
    """How many processes this worker has; each gets its share of the cores."""
    return _processes


def embeds() -> bool:
    """Whether this worker takes batches; one that only aggregates needs no networks."""
    return get_settings().embed_queue in app.amqp.queues.consume_from


@setup_logging.connect
def _set_up_logging(loglevel: Any = "INFO", **_: Any) -> None:
    log_to_stderr(loglevel)


@worker_init.connect
def _before_the_fork(sender: Any, **_: Any) -> None:
    from worker.models import loader as models

    global _processes
    _processes = int(sender.concurrency or 1)
    if embeds():
        settings = get_settings()
        models.runtime(settings)  # so that no child has to ask a GPU again
        # Read by OpenMP when a child loads its first library.
        os.environ.setdefault("OMP_NUM_THREADS", str(models.thread_count(settings, _processes)))
        name = settings.preload_weights
        sha256 = KNOWN_WEIGHTS[name]
        if not models.are_prepared(name, sha256, settings):
            models.prepare_in_subprocess(name, sha256)


@worker_process_init.connect
def _after_the_fork(**_: Any) -> None:
    from worker.models import loader as models

    if embeds():
        settings = get_settings()
        name = settings.preload_weights
        models.load_networks(name, KNOWN_WEIGHTS[name], settings, models.thread_count(settings, _processes))
        note_loaded()
