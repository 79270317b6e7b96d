"""Writes the report of a job in a process of its own, so that a crash there costs no results.

The process is forked: a new one would take longer to import what this one has than a report of some hundred faces
takes.
"""

import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from shared.config.logs import get_logger
from shared.domain.errors import OutsideDataRoot
from shared.domain.job import Job
from shared.domain.paths import printable, resolve_inside
from shared.results.schema import THUMBNAILS
from shared.results.thumbnail_file import thumbnails_in

_log = get_logger("report")
_THUMBNAILS_S, _LIMIT_S = 60, 180


def write_report(job: Job, folder: Path, data_root: Path) -> None:
    """Writes `folder/report.html`, with the thumbnails in that folder. An error is logged, never raised."""
    images = _images_folder(job, data_root)
    try:
        problem = _in_process(lambda: _build(folder, images))
    except OSError as error:
        problem = str(error)
    if problem:
        _log.warning("no report in %s: %s", folder, problem, extra={"action": "report_failed"})
    with suppress(OSError):  # the results are complete by now
        for leftover in folder.glob(".report.html.*"):
            leftover.unlink(missing_ok=True)


def _build(folder: Path, images: Path | None) -> None:
    from shared.report.build import build_report

    ready = thumbnails_in(folder / THUMBNAILS)
    build_report(folder, images, thumbnail_seconds=_THUMBNAILS_S, ready=ready)


def _in_process(work: Callable[[], object]) -> str:
    """Does the work in a forked process; why it was not done, or an empty string."""
    read_end, write_end = os.pipe()
    process = os.fork()
    if process == 0:
        os._exit(_answer(work, write_end))
    os.close(write_end)
    ended = False
    try:
        with os.fdopen(read_end, "rb") as answers:
            ended = bool(select.select([answers], [], [], _LIMIT_S)[0])
            said = answers.read().decode(errors="replace") if ended else f"not done after {_LIMIT_S} s"
    finally:
        if not ended:
            os.kill(process, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return said or (f"its process ended with {status}" if status else "")


def _answer(work: Callable[[], object], write_end: int) -> int:
    """In the new process: does the work, and says what was the matter; its exit code."""
    try:
        # Above all the pool's pipes: the main process notices the death of its child by their end.
        os.closerange(3, write_end)
        os.closerange(write_end + 1, os.sysconf("SC_OPEN_MAX"))
        for number in (signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        work()
    except BaseException as error:
        with suppress(OSError):
            os.write(write_end, (printable(str(error)) or type(error).__name__).encode())
        return 1
    return 0


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
