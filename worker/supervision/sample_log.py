"""A worker's local log of its samples: one CSV file of bounded size."""

import csv
import io
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from shared.config.logs import get_logger
from shared.results.schema import SAMPLE_COLUMNS, samples_name

_HEADER = ",".join(SAMPLE_COLUMNS) + "\n"
_KEPT_S = 7 * 24 * 3600
_log = get_logger("sample_log")


class SampleLog:
    """Writes `<worker>.csv`. A full file is renamed to `<worker>.csv.1`, and a new one is started.

    An error of the folder ends the log with one warning. The file is opened for each sample, so children that are
    forked later inherit no descriptor, and a file that was moved away is created again.
    """

    def __init__(self, folder: Path, worker: str, max_bytes: float) -> None:
        self.path = folder / samples_name(worker)
        self._max_bytes = max_bytes
        self._on = self._try(self._begin)

    def write(self, rows: Sequence[dict[str, str]]) -> None:
        """Appends samples."""
        if self._on:
            self._on = self._try(lambda: self._append(rows))

    def _try(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except OSError as error:
            _log.warning(
                "no log of samples in %s: %s. Samples are sent to the server only. Set FACEQUEUE_LOG_DIR to another "
                "folder, or to `none`",
                self.path.parent,
                error.strerror or error,
                extra={"action": "sample_log_off"},
            )
            return False
        return True

    def _begin(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _remove_old_logs(self.path.parent)
        if _header(self.path) not in ("", _HEADER):  # written by a version with other columns
            self._put_aside()
        with self.path.open("a", encoding="utf-8"):
            pass

    def _append(self, rows: Sequence[dict[str, str]]) -> None:
        text = io.StringIO()
        csv.DictWriter(text, SAMPLE_COLUMNS, lineterminator="\n").writerows(rows)
        with self.path.open("a", encoding="utf-8") as file:
            size = file.tell()
            file.write(text.getvalue() if size else _HEADER + text.getvalue())
        if size + len(text.getvalue()) >= self._max_bytes:
            self._put_aside()

    def _put_aside(self) -> None:
        self.path.replace(self.path.with_name(f"{self.path.name}.1"))


def _header(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline(len(_HEADER) + 1)
    except FileNotFoundError:
        return ""


def _remove_old_logs(folder: Path) -> None:
    """Removes old logs. Every worker has a new name, so the folder would otherwise grow with every start."""
    for path in [*folder.glob("*@*.csv"), *folder.glob("*@*.csv.1")]:
        with suppress(OSError):  # another worker may remove it at the same time
            if path.stat().st_mtime < time.time() - _KEPT_S and _header(path) == _HEADER:
                path.unlink()
