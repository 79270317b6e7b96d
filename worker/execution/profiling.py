"""A profile of each worker process, for `run --profile`: cProfile files that snakeviz and pstats open."""

import cProfile
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.config.logs import get_logger

_log = get_logger("profiling")


class Profiler:
    """This process's profile, written into a folder; without a folder it measures nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._profile = cProfile.Profile()

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Adds what runs inside to the profile, and writes that."""
        if self._folder is None:
            yield
            return
        self._profile.enable()
        try:
            yield
        finally:
            self._profile.disable()
            self._write(self._folder)  # after every batch, since a process may be killed

    def _write(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f".{os.getpid()}.part"
            self._profile.dump_stats(part)
            part.replace(folder / f"worker-{os.getpid()}.prof")
        except OSError as error:  # an unwritable profile must not fail a batch
            _log.warning("no profile in %s: %s", folder, error, extra={"action": "profile_failed"})


def copy_profiles(folder: Path | None, target: Path) -> None:
    """Copies the profiles of all processes beside the results."""
    if folder is not None and folder.is_dir():
        target.mkdir()
        for path in sorted(folder.glob("worker-*.prof")):
            shutil.copyfile(path, target / path.name)
