"""A profile of each worker process, for `run --profile`: cProfile files that snakeviz and pstats open."""

import cProfile
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from shared.config.logs import get_logger

_log = get_logger("profiling")


@lru_cache(maxsize=1)
def _profile() -> cProfile.Profile:
    return cProfile.Profile()


@contextmanager
def profiled(folder: Path | None) -> Iterator[None]:
    """Adds what runs inside to this process's profile, and writes that; does nothing without a folder."""
    if folder is None:
        yield
        return
    profile = _profile()
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        # After every batch: a process that is ended has no moment left for it.
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f".{os.getpid()}.part"
            profile.dump_stats(part)
            part.replace(folder / f"worker-{os.getpid()}.prof")
        except OSError as error:  # a batch is worth more than its profile
            _log.warning("no profile in %s: %s", folder, error, extra={"action": "profile_failed"})


def copy_profiles(folder: Path | None, target: Path) -> None:
    """Copies the profiles of all processes beside the results."""
    if folder is not None and folder.is_dir():
        target.mkdir()
        for path in sorted(folder.glob("worker-*.prof")):
            shutil.copyfile(path, target / path.name)
