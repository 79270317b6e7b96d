"""Celery's pool of child processes, extended to remember the exit codes of processes."""

import gc
from multiprocessing import current_process
from tempfile import gettempdir
from time import monotonic
from typing import Any

from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool


class _Pool(AsynPool):  # type: ignore[misc]
    def on_job_process_lost(self, job: Any, pid: int, exitcode: int) -> None:
        """Stores the exit code, as billiard's own pool does. Celery's pool only mentions it in its error's text."""
        job._worker_lost = (monotonic(), exitcode)
        super().on_job_process_lost(job, pid, exitcode)


class ProcessPool(TaskPool):  # type: ignore[misc]
    """The pool of a worker."""

    Pool = _Pool

    def on_start(self) -> None:
        """Starts the child processes."""
        # The shared memory needs a folder for a file that it unlinks at once. A folder of its own would stay behind if
        # this process is killed, and `run` kills its worker.
        current_process()._config.setdefault("tempdir", gettempdir())  # type: ignore[attr-defined]
        # What is there now is never collected: the pool collects before each fork, and pages that a collection marks
        # are no longer shared with the children.
        gc.freeze()
        gc.enable()
        super().on_start()


def exit_status(request: Any, error: BaseException) -> int | None:
    """The exit code of the process that ran a request, or its signal as a negative number; None if unknown."""
    if isinstance(error, SystemExit):  # reported by the process itself before it ended
        return 0 if error.code is None else error.code if isinstance(error.code, int) else 1
    result = request._apply_result() if request._apply_result is not None else None  # a weak reference
    lost: tuple[float, int] | None = getattr(result, "_worker_lost", None)
    return None if lost is None else lost[1]
