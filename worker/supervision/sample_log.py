"""A worker's own log of its samples: one CSV file beside the work, of bounded size."""

import csv
import io
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from shared.config.logs import get_logger

SAMPLE_COLUMNS = (
    "time", "pid", "role", "cpu_percent", "rss_mib", "uss_mib", "threads", "read_mib", "written_mib", "images_done",
    "job", "batch", "machine_cpu_percent", "machine_memory_percent",
)  # fmt: skip
_HEADER = ",".join(SAMPLE_COLUMNS) + "\n"
_KEPT_S = 7 * 24 * 3600
_log = get_logger("sample_log")


class SampleLog:
    """`<worker>.csv`; full, it becomes `<worker>.csv.1` and begins anew. Trouble with the folder ends it, with one line.

    The file is opened for each sample: children that are forked later inherit nothing, and whoever moves the file away
    gets a new one.
    """

    def __init__(self, folder: Path, worker: str, max_bytes: float) -> None:
        self.path = folder / f"{worker.replace('/', '-')}.csv"
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
                "no log of samples: %s: %s. They go on through the server only. FACEQUEUE_LOG_DIR names another folder, or `none`",
                self.path.parent, error.strerror or error, extra={"action": "sample_log_off"},
            )  # fmt: skip
            return False
        return True

    def _begin(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _remove_old_logs(self.path.parent)
        if _header(self.path) not in ("", _HEADER):  # of a version with other columns
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
    """Every worker has a name of its own, so that without this the folder would grow with every start."""
    for path in [*folder.glob("*@*.csv"), *folder.glob("*@*.csv.1")]:
        with suppress(OSError):  # another worker may be at it too
            if path.stat().st_mtime < time.time() - _KEPT_S and _header(path) == _HEADER:
                path.unlink()
