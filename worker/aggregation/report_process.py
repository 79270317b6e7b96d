"""Writes the report of a job in a process of its own, so that a crash there costs no results.

The process is forked: a new one would take longer to import what this one has than a report of some hundred faces
takes. It begins before the results are written, and loads meanwhile what only reports need.
"""

import gc
import os
import select
import signal
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from shared.config.logs import get_logger
from shared.domain.errors import OutsideDataRoot
from shared.domain.job import Job
from shared.domain.paths import printable, resolve_inside
from shared.report.report_files import remove_leftovers

_log = get_logger("report")
_THUMBNAILS_S, _LIMIT_S = 60, 180
_FACES_A_S = 1_000  # a tenth of what one core writes
_GO = b"."


class ReportProcess:
    """The process that writes a job's report into `folder` once the results are there. A context manager, which ends
    it.
    """

    def __init__(self, job: Job, folder: Path, data_root: Path) -> None:
        self._folder = folder
        self._images = _images_folder(job, data_root)
        self._pictures, self._limit_s = job.options.report_faces, _LIMIT_S + job.faces / _FACES_A_S
        self._process, self._problem = 0, ""
        self._order = self._answers = -1

    def __enter__(self) -> Self:
        """Starts it."""
        order, self._order = os.pipe()
        self._answers, answers = os.pipe()
        try:
            self._process = os.fork()
        except OSError as error:
            self._problem = str(error)
        else:
            if self._process == 0:
                os._exit(self._serve(order, answers))
        os.close(order)
        os.close(answers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(kill=True)

    def write(self) -> None:
        """Writes `folder/report.html`, with the thumbnails in that folder. An error is logged, never raised."""
        problem = self._problem or self._written()
        if problem:
            _log.warning("no report in %s: %s", self._folder, problem, extra={"action": "report_failed"})
        with suppress(OSError):  # the results are complete by now
            remove_leftovers(self._folder)

    def _written(self) -> str:
        """Has the report written; why that was not done, or an empty string."""
        with suppress(OSError):  # it has died; how, its exit status says
            os.write(self._order, _GO)
        ended = bool(select.select([self._answers], [], [], self._limit_s)[0])
        said = os.read(self._answers, select.PIPE_BUF).decode(errors="replace") if ended else ""
        status = self._end(kill=not ended)
        if not ended:
            return f"not done after {self._limit_s:.0f} s"
        return said or (f"its process ended with {status}" if status else "")

    def _end(self, *, kill: bool) -> int:
        """Waits for the process, which is killed if need be; its exit status."""
        process, self._process = self._process, 0
        for number in (self._order, self._answers):
            if number >= 0:
                os.close(number)
        self._order = self._answers = -1
        if not process:
            return 0
        if kill:
            os.kill(process, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def _serve(self, order: int, answers: int) -> int:
        """In the new process: writes the report when it is told to, and says what was the matter; its exit code."""
        # Networks that are garbage here would wait for the other process's threads when they are destroyed.
        gc.freeze()
        try:
            # Above all the pool's pipes: the main process notices the death of its child by their end.
            low, high = sorted((order, answers))
            os.closerange(3, low)
            os.closerange(low + 1, high)
            os.closerange(high + 1, os.sysconf("SC_OPEN_MAX"))
            for number in (signal.SIGTERM, signal.SIGALRM):
                signal.signal(number, signal.SIG_DFL)
            _load()
            if os.read(order, 1) == _GO:  # otherwise the aggregation has failed, or its process has died
                _build(self._folder, self._images, self._pictures)
        except BaseException as error:
            with suppress(OSError):
                os.write(answers, (printable(str(error)) or type(error).__name__).encode()[: select.PIPE_BUF])
            return 1
        return 0


def _load() -> None:
    import shared.report.build  # noqa: F401
    from shared.report.rendering import load_templates

    load_templates()


def _build(folder: Path, images: Path | None, pictures: int) -> None:
    from shared.report.build import ReportRequest, build_report

    request = ReportRequest(pictures=pictures, thumbnail_seconds=_THUMBNAILS_S, may_compare=False)
    build_report(folder, images, request)


def _images_folder(job: Job, data_root: Path) -> Path | None:
    """The folder with the job's images, always inside the data root; None if this machine has none."""
    if job.options.location:  # reports read files only; workers have cut the thumbnails
        return None
    if job.options.inline:  # the images came from the producer's disk: files at the same paths here are different ones
        return None
    try:
        return resolve_inside(data_root, job.options.folder)
    except (OutsideDataRoot, OSError, ValueError) as error:  # ValueError: a null byte
        _log.warning(
            "no pictures in the report of job %s: its folder %s %s",
            job.name,
            printable(job.options.folder),
            error,
            extra={"action": "report_without_pictures"},
        )
        return None
