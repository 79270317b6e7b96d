"""Enqueuing in a thread, so that the job can be followed meanwhile."""

import threading
from collections.abc import Callable

from producer.submission.batches import enqueue_images
from producer.submission.sources import Source
from producer.submission.update_plan import UpdatePlan
from shared.config.settings import Settings
from shared.domain.job import Job
from shared.messaging.celery_app import make_celery
from shared.store.redis_client import Client, explain_server_errors

_STOP_TIMEOUT_S = 10.0


class BackgroundProducer:
    """Adds the batches of one job in a thread."""

    def __init__(
        self,
        client: Client,
        job: Job,
        source: Source | None,
        settings: Settings,
        say: Callable[[str], None],
        *,
        take_over: bool = False,
        plan: UpdatePlan | None = None,
    ) -> None:
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._arguments = (client, make_celery(settings), job, source, settings, say, self._stop.is_set)
        self._take_over, self._plan = take_over, plan
        self._thread = threading.Thread(target=self._work, daemon=True, name="producer")
        self._settings = settings

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def check(self) -> bool:
        """Raises the thread's error, if it had one. Returns False, since it starts no worker (see `follow`)."""
        if self._error is not None:
            raise self._error
        return False

    def stop(self) -> None:
        """Ends the thread after its current batch; the next producer resumes there."""
        self._stop.set()
        self._thread.join(_STOP_TIMEOUT_S)

    def _work(self) -> None:
        try:
            with explain_server_errors(self._settings):
                enqueue_images(*self._arguments, take_over=self._take_over, plan=self._plan)
        except BaseException as error:  # `check` raises it in the main thread
            self._error = error
