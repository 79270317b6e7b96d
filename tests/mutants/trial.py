"""Runs the fast tests against one mutant, in a copy of the checkout."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from tests.mutants.mutant import Mutant
from tests.mutants.targets import Target

_COPIED = ("producer", "shared", "worker", "tests", "benchmarks", "docs", "pyproject.toml", "README.md", ".env.example")
_TIMEOUT_S = 180.0
_NOTICED = (1, 2, -signal.SIGALRM)
"""Exit codes: a test that failed, a module that cannot be imported, tests that do not end."""


class Copy:
    """A copy of the checkout in which one file at a time is another."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder, self._runs = folder, 0
        self._runners: dict[tuple[str, ...], subprocess.Popen[str]] = {}
        folder.mkdir()
        for name in _COPIED:
            if (root / name).is_dir():
                shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(root / name, folder / name)

    def check(self, target: Target) -> None:
        """SystemExit where the tests fail without a mutant, or would not run this copy's files."""
        code = "import shared.store.jobs as s, worker.supervision.reconciler as w; print(s.__file__); print(w.__file__)"
        done = subprocess.run(
            [sys.executable, "-c", code], env=self._environment(), cwd=self.folder, capture_output=True, text=True
        )
        expected = [
            self.folder / "shared" / "store" / "jobs.py",
            self.folder / "worker" / "supervision" / "reconciler.py",
        ]
        if [Path(line) for line in done.stdout.splitlines()] != expected:
            raise SystemExit(f"The copy in {self.folder} is not what would be tested:\n{done.stdout}{done.stderr}")
        if self._test(target) != 0:
            raise SystemExit(f"The tests fail without any mutant:\n{self._log().read_text()}")

    def verdict(self, target: Target, mutant: Mutant) -> str:
        """`noticed`, `SURVIVED`, or why neither can be said."""
        path = self.folder / mutant.path
        original = path.read_text()
        path.write_text(mutant.source)
        try:
            code = self._test(target)
        finally:
            path.write_text(original)
        if code == 0:
            return "SURVIVED"
        return "noticed" if code in _NOTICED else f"pytest ended with {code}: {self._log().read_text()[-300:]}"

    def close(self) -> None:
        """Ends the processes that wait for the next mutant."""
        for runner in self._runners.values():
            runner.communicate()

    def _test(self, target: Target) -> int:
        """pytest's exit code; one that does not end has noticed."""
        self._runs += 1
        scratch = self.folder / f"run-{self._runs}"  # a server left over from one run is not the next one's
        try:
            return self._forked(target, scratch) if target.path.suffix == ".lua" else self._fresh(target, scratch)
        finally:
            if any(scratch.glob("**/*.sock")) or (scratch.exists() and any(scratch.glob("**/server.json"))):
                self._end_servers(scratch)
            shutil.rmtree(scratch, ignore_errors=True)

    def _forked(self, target: Target, scratch: Path) -> int:
        tests = tuple(target.test_files(self.folder))
        runner = self._runners.get(tests)
        if runner is None:
            with self._log().open("a") as log:
                runner = subprocess.Popen(
                    [sys.executable, "-m", "tests.mutants.runner", *tests], env=self._environment(), cwd=self.folder,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1,
                )  # fmt: skip
            self._runners[tests] = runner
        assert runner.stdin is not None and runner.stdout is not None
        runner.stdin.write(f"{scratch}\n")
        return int(runner.stdout.readline())

    def _fresh(self, target: Target, scratch: Path) -> int:
        command = [
            sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--basetemp", str(scratch),
            *target.test_files(self.folder),
        ]  # fmt: skip
        with self._log().open("w") as log:
            process = subprocess.Popen(
                command, env=self._environment(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
            try:
                return process.wait(_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return _NOTICED[0]

    @staticmethod
    def _end_servers(scratch: Path) -> None:
        for other in psutil.process_iter():  # servers have a session of their own
            with suppress(psutil.Error):
                if any(str(scratch) in argument for argument in other.cmdline()):
                    other.kill()

    def _log(self) -> Path:
        return self.folder / "pytest.log"

    def _environment(self) -> dict[str, str]:
        # No compiled files: they go by size and second, in which two mutants may be the same.
        mine = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TESTS_", "FACEQUEUE_", "PYTEST_"))
        }
        return mine | {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
