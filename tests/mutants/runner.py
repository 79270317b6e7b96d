"""Runs chosen tests again and again, in forks of one pytest session that has imported and collected everything, on one
server.

`python -m tests.mutants.runner FOLDER TEST ...`: each line on standard input is a request (JSON), each line on standard
output its answer. `{"trace": test file, "paths": [...]}` runs the file's tests and answers with what each took and
reached; `{"path": ..., "source": ..., "function": ..., "tests": {test: seconds}}` runs these tests with a mutant in its
place.
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import pytest
import redis

from producer.local.redis_server import EmbeddedServer
from tests.mutants.in_place import put_in_place
from tests.mutants.reached import noting_places
from tests.support.stage import ROOT, Stage

_GRACE_S, _FACTOR = 4.0, 4.0
"""How much longer a test may take than without a mutant. A test that takes even longer has noticed it."""


class SharedServer:
    """The server of this session's stages, replaced if a test has left it unusable."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, 0
        self._server: EmbeddedServer | None = None

    def ready(self) -> None:
        """Starts the server, or another one if it does not answer: an endless script may be running."""
        if self._server is not None:
            try:
                self.emptied()
                return
            except redis.RedisError:
                self._server.kill()
        self._made += 1
        self._server = EmbeddedServer(self._folder / f"server-{self._made}")
        self._server.start()

    def emptied(self) -> EmbeddedServer:
        """The server, with everything of the previous test removed."""
        assert self._server is not None
        with redis.Redis(unix_socket_path=urlsplit(self._server.url).path, socket_timeout=2) as client:
            client.config_set("maxmemory", 0)
            client.config_resetstat()
            client.flushall()
        return self._server

    def stop(self) -> None:
        """Stops the server."""
        if self._server is not None:
            self._server.stop()


class Forks:
    """The plugin that answers requests instead of running the collected tests."""

    def __init__(self, requests: TextIO, answers: TextIO, server: SharedServer) -> None:
        self._requests, self._answers, self._server = requests, answers, server
        self._log = os.dup(2)
        self._failed = self._skipped = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Answers requests until standard input ends."""
        if session.testsfailed:
            raise session.Interrupted("tests cannot be collected")
        items = {item.nodeid: item for item in session.items}
        for line in self._requests:
            request = json.loads(line)
            self._server.ready()
            if "trace" in request:
                of_file = [item for test, item in items.items() if test.startswith(request["trace"] + "::")]
                answer = self._forked(lambda of=of_file, by=request: self._trace(of, list(map(Path, by["paths"]))))
            else:
                chosen = {items[test]: seconds for test, seconds in request["tests"].items()}
                answer = self._forked(lambda of=chosen, by=request: self._try(of, by))
            self._answers.write(json.dumps(answer) + "\n")
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Records the result of a test."""
        if report.failed:
            self._failed = True
            os.write(self._log, f"{report.nodeid}\n{report.longreprtext}\n".encode())
        self._skipped |= report.skipped

    def _forked(self, act: Callable[[], object]) -> object:
        """The function's result in a forked process, or the negative number of the signal that ended it."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os.setsid()
            try:
                answer = act()
            except BaseException as error:
                answer = f"{type(error).__name__}: {error}"
            with os.fdopen(writing, "w") as file:
                json.dump(answer, file)
            sys.stdout.flush()
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as file:
            text = file.read()
        _, status = os.waitpid(child, 0)
        return json.loads(text) if text else os.waitstatus_to_exitcode(status)

    def _run(self, item: pytest.Item) -> str:
        self._failed = self._skipped = False
        # No next item: each test's fixtures end with it, so that a test alone is what it was among others.
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return "failed" if self._failed else "skipped" if self._skipped else "passed"

    def _trace(self, items: list[pytest.Item], paths: list[Path]) -> list[dict[str, object]]:
        found = []
        for item in items:
            started = time.monotonic()
            with noting_places(ROOT, paths) as reached:
                outcome = self._run(item)
            took = time.monotonic() - started
            found.append({"test": item.nodeid, "outcome": outcome, "seconds": took, "reached": sorted(reached)})
        return found

    def _try(self, items: dict[pytest.Item, float], mutant: dict[str, str]) -> str:
        put_in_place(ROOT, Path(mutant["path"]), mutant["source"], mutant["function"])
        for item, seconds in items.items():
            signal.setitimer(signal.ITIMER_REAL, _GRACE_S + _FACTOR * seconds)  # ends this process
            if self._run(item) == "failed":
                return "noticed"
        return "SURVIVED"


def _share(server: SharedServer) -> None:
    """Makes the fixtures' stages use the one server. Tests that start processes are left out, because those would run
    the originals.
    """
    import tests.conftest
    import tests.integration.conftest

    class SharedStage(Stage):
        def __init__(self, folder: Path) -> None:
            super().__init__(folder, server.emptied())

        def producer(self, *_: object, **__: object) -> Any:
            pytest.skip("starts a process")

        def spawn(self, *_: object, **__: object) -> Any:
            pytest.skip("starts a process")

    for module in (tests.conftest, tests.integration.conftest):
        module.Stage = SharedStage  # type: ignore[misc]


def main(folder: str, tests: list[str]) -> int:
    """Runs pytest and returns its exit code."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w", buffering=1)  # pytest has others in their place
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what the tests print goes to the log
    server = SharedServer(Path(folder))
    _share(server)
    try:
        return int(
            pytest.main(
                [
                    "-p",
                    "no:cacheprovider",
                    "-p",
                    "no:xdist",
                    "-p",
                    "no:timeout",
                    "-o",
                    "addopts=",
                    "-q",
                    "-W",
                    "ignore::pytest.PytestConfigWarning",
                    "-W",
                    "ignore::pytest.PytestUnknownMarkWarning",
                    "--basetemp",
                    tempfile.mkdtemp(dir=folder),
                    *tests,
                ],
                [Forks(requests, answers, server)],
            )
        )
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
