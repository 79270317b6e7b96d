"""Tasks as the worker's main process sees them: their answers and crashes."""

from typing import Any, Self

import redis
from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.exceptions import Ignore, Reject
from celery.worker import state
from celery.worker.request import Request

from worker.answers import TaskAnswer
from worker.execution.process_pool import exit_status


class AnsweredRequest(Request):  # type: ignore[misc]
    """A request whose task returns a `TaskAnswer`. Flower shows the answer as one line."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Wraps the `on_success` of the class that Celery derives for each task, because that one does not call this
        class's.
        """
        super().__init_subclass__(**options)
        if "on_success" not in vars(cls):
            return
        celerys = cls.on_success

        def on_success(self: Self, failed__retval__runtime: Any, **options: Any) -> None:
            failed, returned, runtime = failed__retval__runtime
            answer = None if failed else TaskAnswer.parse(returned)
            celerys(self, (failed, returned if answer is None else str(answer), runtime), **options)
            if answer is not None:
                self.on_answer(answer)

        cls.on_success = on_success

    def on_answer(self, answer: TaskAnswer) -> None:
        """Called in the main process when the task has answered."""


class BatchRequest(AnsweredRequest):
    """A request to embed a batch. The task's `monitor` is told its answer, or the crash of its process."""

    def on_answer(self, answer: TaskAnswer) -> None:
        """Called in the main process when the task has answered."""
        self.task.monitor.answered(self, answer)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """Called when the task raised, or its process died."""
        error = exc_info.exception
        error = error.exc if isinstance(error, ExceptionWithTraceback) else error
        super().on_failure(exc_info, send_failed_event, return_ok)
        if state.should_terminate or self._already_cancelled or isinstance(error, Terminated):
            return  # ended by this worker itself, for example after it lost the server
        if isinstance(error, TimeLimitExceeded):
            return  # `on_timeout` counts it, and knows the limit
        if isinstance(error, (WorkerLostError, SystemExit)):
            self.task.monitor.process_died(self, exit_status(self, error))
        elif not isinstance(error, (Reject, Ignore, redis.RedisError)):
            self.task.monitor.raised(self, error)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Called when the batch exceeded its time limit; its process is killed."""
        super().on_timeout(soft, timeout)
        if not soft and not state.should_terminate:
            self.task.monitor.timed_out(self, timeout)
