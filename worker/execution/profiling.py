"""Profiles each worker process, for `run --profile`.

Each process writes two files: one for snakeviz and pstats, and one in JSON for the report. The first kind is read with
`marshal`, which is unsafe for untrusted files, and a report may be made from untrusted results.
"""

import cProfile
import json
import marshal
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.config.logs import get_logger
from shared.domain.durable_files import replace_content

_log = get_logger("profiling")


class Profiler:
    """This process's profile, written into a folder. Without a folder nothing is measured."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._profile = cProfile.Profile()

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Adds the code inside the block to the profile, and writes the profile."""
        if self._folder is None:
            yield
            return
        self._profile.enable()
        try:
            yield
        finally:
            self._profile.disable()
            self._write(self._folder)  # after every batch, because a process may be killed

    def _write(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._profile.create_stats()
            stats: dict[tuple[str, int, str], Any] = self._profile.stats
            functions = [
                {"file": file, "line": line, "function": function, "calls": calls, "own_s": own_s, "total_s": total_s}
                for (file, line, function), (_, calls, own_s, total_s, _) in stats.items()
            ]
            replace_content(folder / f"worker-{os.getpid()}.prof", marshal.dumps(stats))
            replace_content(folder / f"worker-{os.getpid()}.json", json.dumps({"functions": functions}).encode())
        except OSError as error:  # an unwritable profile must not fail a batch
            _log.warning("no profile in %s: %s", folder, error, extra={"action": "profile_failed"})
