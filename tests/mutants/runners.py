"""The processes that try mutants, each with a pytest session and a server of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutants.mutant import Mutant


@dataclass(frozen=True)
class Traced:
    """The result of a test without a mutant."""

    test: str
    outcome: str
    """`passed`, `failed` or `skipped`."""
    seconds: float
    reached: frozenset[str]
    """The places that it reached (`Mutant.place`)."""


class Runner:
    """One such process."""

    def __init__(self, root: Path, folder: Path, tests: list[str]) -> None:
        folder.mkdir()
        self._log = folder / "runner.log"
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TESTS_", "FACEQUEUE_", "PYTEST_"))
        }
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.mutants.runner", str(folder), *tests],
                cwd=root,
                stderr=log,
                text=True,
                env=kept | {"PYTHONPATH": str(root)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=1,
            )

    def trace(self, test_file: str, paths: Collection[Path]) -> list[Traced]:
        """Runs a file's tests without a mutant; SystemExit if one fails."""
        answer = self._ask({"trace": test_file, "paths": list(map(str, paths))})
        if not isinstance(answer, list):
            raise SystemExit(f"{test_file} cannot be run ({answer}):\n{self.tail()}")
        traced = [Traced(one["test"], one["outcome"], one["seconds"], frozenset(one["reached"])) for one in answer]
        failed = [one.test for one in traced if one.outcome == "failed"]
        if failed:
            raise SystemExit(f"These tests fail without any mutant: {', '.join(failed)}\n{self.tail()}")
        return traced

    def verdict(self, mutant: Mutant, tests: dict[str, float]) -> str:
        """`noticed`, `SURVIVED`, or why neither is known. `tests` has their usual seconds, in the order in which to run
        them.
        """
        answer = self._ask(
            {"path": str(mutant.path), "source": mutant.source, "function": mutant.function, "tests": tests}
        )
        # A number is the signal that ended the tests: they hung, or the process died of the mutant.
        return "noticed" if isinstance(answer, int) else str(answer)

    def close(self) -> None:
        """Ends the process and its server."""
        self._process.communicate()

    def tail(self) -> str:
        """The end of what pytest printed."""
        return self._log.read_text(errors="replace")[-4000:]

    def _ask(self, request: dict[str, object]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
        except BrokenPipeError:
            raise SystemExit(f"The tests cannot be run:\n{self.tail()}") from None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"The tests cannot be run:\n{self.tail()}")
        return json.loads(line)
