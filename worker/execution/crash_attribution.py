"""What a worker's main process does when a child is done with a batch (it counts the images), or died with it: it counts
the loss in the job record and sends the batch again.

Only here is a loss counted. When the worker itself, the server or the machine goes, nobody is left to count, and no
image is suspected; the reconciler then sends the batch again.
"""

import re
import signal
from functools import lru_cache
from typing import Any, Self

import redis
from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery import Task
from celery.exceptions import Ignore, Reject
from celery.worker import state
from celery.worker.request import Request

from shared.config.logs import get_logger
from shared.config.settings import get_settings
from shared.domain.errors import BadMessage
from shared.domain.outcomes import Outcome
from shared.messaging.celery_app import send_batch
from shared.messaging.messages import EmbedBatch, parse_message
from shared.store.jobs import DEATHS_ALONE, JobRecord
from shared.store.redis_client import Client, connect
from worker.broker.subscriptions import look_now_if_refused
from worker.execution.progress import PROGRESS, images_stored

_log = get_logger("lost_process")


class BatchRequest(Request):  # type: ignore[misc]
    """A batch as the main process sees it."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Celery derives a class for each task, whose own `on_success` does not ask this one's: it is wrapped."""
        super().__init_subclass__(**options)
        theirs = cls.on_success

        def on_success(self: Self, failed__retval__runtime: Any, **kwargs: Any) -> None:
            theirs(self, failed__retval__runtime, **kwargs)
            failed, answer, _ = failed__retval__runtime
            look_now_if_refused(answer)
            images = 0 if failed else images_stored(answer, self.kwargs.get("message"))
            if images:
                PROGRESS.add(self.worker_pid, images)

        cls.on_success = on_success

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """Called when the task raised, or its process died."""
        error = exc_info.exception
        error = error.exc if isinstance(error, ExceptionWithTraceback) else error
        super().on_failure(exc_info, send_failed_event, return_ok)
        if state.should_terminate or self._already_cancelled or isinstance(error, Terminated):
            return  # ended by this worker itself, as it does when it loses the server
        if isinstance(error, TimeLimitExceeded):
            return  # `on_timeout` counts it, and knows the limit
        if isinstance(error, (WorkerLostError, SystemExit)):
            _count(self, verdict_on(str(error), get_settings().image_timeout_s), send_again=True)
        elif not isinstance(error, (Reject, Ignore, redis.RedisError)):
            # Not foreseen, but no reason to lose the neighbours. The reconciler sends it again, a little later.
            _count(self, f"{Outcome.CRASHED}: raised {type(error).__name__}, {DEATHS_ALONE} times", send_again=False)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Called when the whole batch took too long; its process is killed."""
        super().on_timeout(soft, timeout)
        if not soft and not state.should_terminate:
            _count(self, f"{Outcome.TIMEOUT}: took longer than {timeout:g} s", send_again=True)


class BatchTask(Task):  # type: ignore[misc]
    """A task whose lost processes are counted."""

    Request = BatchRequest


def verdict_on(death: str, image_timeout_s: float) -> str:
    """`outcome: reason`, from billiard's words for a process's end: "... signal 11 (SIGSEGV) ..." or "... exitcode 3 ..."."""
    times = f"{DEATHS_ALONE} times"
    found = re.search(r"signal (\d+)", death)
    if found and int(found[1]) == signal.SIGALRM:
        return f"{Outcome.TIMEOUT}: took longer than {image_timeout_s:g} s, {times}"
    if found:
        try:
            name = signal.Signals(int(found[1])).name
        except ValueError:
            name = f"signal {found[1]}"
        hint = ", as one that is out of memory does" if name == "SIGKILL" else ""
        return f"{Outcome.CRASHED}: its process died of {name}{hint}, {times}"
    code = re.search(r"exitcode (-?\d+)", death)
    return f"{Outcome.CRASHED}: its process ended{f' with exit code {code[1]}' if code else ''}, {times}"


@lru_cache(maxsize=1)
def _client() -> Client:
    return connect(get_settings(), read_timeout_s=5.0)


def _count(request: BatchRequest, verdict: str, *, send_again: bool) -> None:
    try:
        batch = parse_message(EmbedBatch, request.kwargs.get("message"))
        record = JobRecord(_client(), batch.job)
        answer = record.lose(batch.uid, batch.batch, f"{request.hostname}/{request.worker_pid}", verdict)
        if answer is None:
            return
        _log.warning("%s lost its process (%s)", batch.describe(), verdict, extra={"action": "process_lost"})
        if send_again:
            again = batch.model_copy(update={"send": answer[0]})
            send_batch(request.task.app, get_settings(), record.embed_queue(), again, again=True)
    except BadMessage:
        return
    # The main process must live on. The lease runs out, and the reconciler sends the batch again.
    except Exception as error:
        _log.warning("a lost process could not be counted: %s", error, extra={"action": "loss_not_counted"})
