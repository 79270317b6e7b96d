"""The exit codes of errors, and the suggested next commands."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from producer.cli.errors import exit_code_after, exit_code_of, next_step
from producer.monitoring.job_watcher import JobNotServed, NoWorkers, ResultsNotWritten
from producer.submission.folders import FolderOutsideDataRoot
from producer.submission.heartbeat import AnotherProducer
from shared.config.exit_codes import ExitCode
from shared.domain.errors import (
    FaceQueueError,
    InvalidRequest,
    JobNotFound,
    NotFinished,
    RecordUnreadable,
    ResultsError,
    ServerError,
    ServerUnreachable,
    WeightsError,
)
from tests.support.stage import ROOT


@pytest.mark.parametrize(
    ("error", "code", "command"),
    [
        (JobNotFound("j"), ExitCode.WRONG_USAGE, "`python -m producer jobs`"),
        (RecordUnreadable("j", "why"), ExitCode.WRONG_USAGE, "`python -m producer cancel j`"),
        (AnotherProducer("j"), ExitCode.WRONG_USAGE, "`python -m producer watch j`"),
        (FolderOutsideDataRoot(Path("a"), Path("b")), ExitCode.WRONG_USAGE, "`python -m producer run`"),
        (ServerUnreachable("x"), ExitCode.NOT_FINISHED, "`python -m producer run`"),
        (NoWorkers("j", "embed", 5), ExitCode.NOT_FINISHED, "`python -m worker`"),
        (JobNotServed("j", "w", "why"), ExitCode.NOT_FINISHED, "`python -m producer watch j`"),
        (ResultsNotWritten("j", "disk full"), ExitCode.UNFORESEEN, "`python -m producer aggregate j`"),
        (ResultsNotWritten("j", "damaged. Cancel the job"), ExitCode.UNFORESEEN, "`python -m producer cancel j`"),
        (InvalidRequest("x"), ExitCode.WRONG_USAGE, ""),
        (NotFinished("x"), ExitCode.NOT_FINISHED, ""),
        (ServerError("x"), ExitCode.NOT_FINISHED, ""),
        (ResultsError("x"), ExitCode.UNFORESEEN, ""),
        (WeightsError("x"), ExitCode.UNFORESEEN, ""),
    ],
)
def test_every_error_has_its_exit_code_and_its_next_step(error: FaceQueueError, code: ExitCode, command: str) -> None:
    """If the message does not say what to type, the command line does."""
    assert exit_code_of(error) == code
    assert (command in next_step(error)) and (bool(command) is bool(next_step(error)))


def _raising(error: BaseException) -> Callable[[], Any]:
    def command() -> None:
        raise error

    return command


def test_what_a_user_can_cause_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The line is on standard error, followed by the next step. Ctrl-C reports that nothing is lost."""
    assert exit_code_after(_raising(JobNotFound("j"))) == ExitCode.WRONG_USAGE
    assert exit_code_after(_raising(KeyboardInterrupt())) == ExitCode.NOT_FINISHED
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "producer: No job 'j' on this server. `python -m producer jobs` lists the jobs.",
        "producer: interrupted. Nothing is lost: repeat the command to resume.",
    ]


def test_what_nobody_foresaw_keeps_its_traceback() -> None:
    """It is a defect, and its location helps to fix it."""
    with pytest.raises(ZeroDivisionError):
        exit_code_after(_raising(ZeroDivisionError()))


def test_an_interrupt_has_its_exit_code_whatever_it_interrupts(tmp_path: Path) -> None:
    """Also a module that executes text while it is imported: Python would end with the signal."""
    (tmp_path / "sitecustomize.py").write_text(
        "import builtins\n"
        "load = builtins.__import__\n"
        "def interrupted(name, *rest, **more):\n"
        "    if name == 'producer.sample_images':\n"
        "        exec('import os, signal\\nos.kill(os.getpid(), signal.SIGINT)\\nwhile True: pass')\n"
        "    return load(name, *rest, **more)\n"
        "builtins.__import__ = interrupted\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "producer", "sample", str(tmp_path / "sample")],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr.count("interrupted")) == (ExitCode.NOT_FINISHED, 1), done.stderr
