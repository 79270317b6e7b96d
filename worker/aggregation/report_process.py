"""Writes the report of a finished job in a separate process, so that a crash there costs no results."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from shared.config.logs import get_logger
from shared.domain.errors import OutsideDataRoot
from shared.domain.job import Job
from shared.domain.paths import printable, resolve_inside

_log = get_logger("report")
_THUMBNAILS_S, _LIMIT_S = 60, 180


def write_report(job: Job, folder: Path, data_root: Path) -> None:
    """Writes `folder/report.html`. An error is logged, never raised."""
    images = _images_folder(job, data_root)
    command = [sys.executable, "-m", "shared.report", str(folder), "--thumbnail-seconds", str(_THUMBNAILS_S)]
    if images is not None:
        command += ["--images", str(images)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_LIMIT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.warning("no report in %s: %s", folder, error, extra={"action": "report_failed"})
        return
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        _log.warning("no report in %s: %s", folder, last, extra={"action": "report_failed"})
    with suppress(OSError):  # the results are already complete
        for leftover in folder.glob(".report.html.*"):
            leftover.unlink(missing_ok=True)


def _images_folder(job: Job, data_root: Path) -> Path | None:
    """The folder with the job's images, always inside the data root; None if this machine has none."""
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
