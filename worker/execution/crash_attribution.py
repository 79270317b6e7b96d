"""Counts crashed processes in the job record, and requeues their batches. Runs in the worker's main process.

Only a surviving main process counts a crash. If the worker, the server or the machine ends, no crash is counted and no
image is suspected. The reconciler then requeues the batch.
"""

import signal
from collections.abc import Callable
from typing import Any

from celery import Celery

from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.domain.errors import BadMessage
from shared.domain.outcomes import Outcome, Verdict
from shared.messaging.celery_app import send_batch, send_tile
from shared.messaging.messages import EmbedBatch, PairTile, parse_message
from shared.store.jobs import JobRecord
from shared.store.leases import DEATHS_ALONE
from worker.answers import AnswerKind, TaskAnswer
from worker.execution.connections import Connections
from worker.execution.progress import Progress

_log = get_logger("crash_attribution")


class BatchMonitor:
    """Counts the results of a worker's child processes: images done, refusals and crashes."""

    _kind: type[EmbedBatch] | type[PairTile] = EmbedBatch

    def __init__(
        self,
        settings: Settings,
        app: Celery,
        connections: Connections,
        progress: Progress,
        on_refusal: Callable[[], object],
    ) -> None:
        """`on_refusal` is called when a child process has refused a job."""
        self._settings, self._app, self._connections = settings, app, connections
        self._progress, self._on_refusal = progress, on_refusal

    def _send_again(self, record: JobRecord, message: Any) -> None:
        send_batch(self._app, self._settings, record.embed_queue(), message, again=True)

    def answered(self, request: Any, answer: TaskAnswer) -> None:
        """Counts the images of a committed batch."""
        if answer.kind is AnswerKind.STORED:
            self._progress.add(request.worker_pid, answer.images)
        elif answer.kind is AnswerKind.REFUSED:
            self._on_refusal()

    def process_died(self, request: Any, status: int | None) -> None:
        """Counts a crashed process. `status` is its exit code, or its signal as a negative number."""
        self._count(request, crash_verdict(status, self._settings.image_timeout_s), send_again=True)

    def timed_out(self, request: Any, limit_s: float) -> None:
        """Counts a process that was killed after the batch's time limit."""
        self._count(request, Verdict(Outcome.TIMEOUT, f"took longer than {limit_s:g} s"), send_again=True)

    def raised(self, request: Any, error: BaseException) -> None:
        """Counts an unexpected error of the task. The reconciler requeues the batch."""
        verdict = Verdict(Outcome.CRASHED, f"raised {type(error).__name__}, {DEATHS_ALONE} times")
        self._count(request, verdict, send_again=False)

    def _count(self, request: Any, verdict: Verdict, *, send_again: bool) -> None:
        try:
            batch = parse_message(self._kind, request.kwargs.get("message"))
            record = JobRecord(self._connections.event_loop, batch.job)
            requeued = record.lose(batch.uid, batch.batch, f"{request.hostname}/{request.worker_pid}", verdict)
            if requeued is None:
                return
            _log.warning(
                "%s lost its process (%s)",
                batch.describe(),
                verdict,
                extra={"action": "process_lost", "job": batch.job, "batch": batch.batch},
            )
            if send_again:
                self._send_again(record, batch.model_copy(update={"send": requeued.send}))
        except BadMessage:
            return
        # The main process must survive. The lease expires, and the reconciler requeues the batch.
        except Exception as error:
            _log.warning("a crash could not be counted: %s", error, extra={"action": "loss_not_counted"})


class TileMonitor(BatchMonitor):
    """The same for tiles of the pair matrix, whose crashes are no image's."""

    _kind = PairTile

    def _send_again(self, record: JobRecord, message: Any) -> None:
        send_tile(self._app, self._settings.aggregate_queue, message, again=True)


def crash_verdict(status: int | None, image_timeout_s: float) -> Verdict:
    """The outcome for an image that crashed its process. `status` is the exit code, or the negative signal number."""
    times = f"{DEATHS_ALONE} times"
    if status is None:
        return Verdict(Outcome.CRASHED, f"its process ended, {times}")
    if status >= 0:
        return Verdict(Outcome.CRASHED, f"its process ended with exit code {status}, {times}")
    if -status == signal.SIGALRM:
        return Verdict(Outcome.TIMEOUT, f"took longer than {image_timeout_s:g} s, {times}")
    hint = ", as one that is out of memory does" if -status == signal.SIGKILL else ""
    return Verdict(Outcome.CRASHED, f"its process died of {_signal_name(-status)}{hint}, {times}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
