"""The report of a job that was just written: in a process of its own, so that whatever happens there costs the job nothing."""

import subprocess
import sys
from pathlib import Path

from shared.logs import get_logger

_log = get_logger("report")
_THUMBNAILS_S, _LIMIT_S = 60, 180


def write_report(folder: Path, images: Path) -> None:
    """Writes `folder/report.html`; what goes wrong is a log line."""
    command = [
        sys.executable, "-m", "shared.report", str(folder), "--images", str(images), "--thumbnail-seconds", str(_THUMBNAILS_S),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.warning("no report in %s: %s", folder, error, extra={"action": "report_failed"})
        return
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        _log.warning("no report in %s: %s", folder, last, extra={"action": "report_failed"})
    for leftover in folder.glob(".report.html.*"):
        leftover.unlink(missing_ok=True)
