"""Locks between the `run`s of one data folder. A lock ends with its process, however that ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.domain.file_locks import is_at, try_lock

_MOST_LOGS = 1000


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Whether this process holds the lock `path`. The file is removed at the end, or by the next holder."""
    while True:
        with path.open("a") as file:
            if not try_lock(file):
                yield False
                return
            if not is_at(path, file):  # its holder has removed it between the opening and the lock
                continue
            try:
                yield True
            finally:
                path.unlink(missing_ok=True)
            return


@contextmanager
def log_of_its_own(folder: Path) -> Iterator[Path]:
    """`worker.log` in this folder, or while another `run` writes to that, `worker-2.log` and so on; emptied."""
    for number in range(1, _MOST_LOGS):
        path = folder / ("worker.log" if number == 1 else f"worker-{number}.log")
        with path.open("ab") as file:
            if try_lock(file):
                file.truncate(0)
                yield path
                return
    raise OSError(f"{_MOST_LOGS} processes write to {folder}")
