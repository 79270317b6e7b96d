"""The verdict on an image, from the end of its process."""

import signal
from types import SimpleNamespace

import pytest

from shared.domain.outcomes import Outcome, Verdict
from worker.execution.crash_attribution import crash_verdict
from worker.execution.process_pool import ProcessPool, exit_status


@pytest.mark.parametrize(
    ("status", "outcome", "reason"),
    [
        (-signal.SIGSEGV, Outcome.CRASHED, "its process died of SIGSEGV, 3 times"),
        (-signal.SIGKILL, Outcome.CRASHED, "its process died of SIGKILL, as one that is out of memory does, 3 times"),
        (-signal.SIGALRM, Outcome.TIMEOUT, "took longer than 2.5 s, 3 times"),
        (-250, Outcome.CRASHED, "its process died of signal 250, 3 times"),
        (3, Outcome.CRASHED, "its process ended with exit code 3, 3 times"),
        (0, Outcome.CRASHED, "its process ended with exit code 0, 3 times"),
        (None, Outcome.CRASHED, "its process ended, 3 times"),
    ],
)
def test_the_verdict_names_signal_or_exit_code(status: int | None, outcome: Outcome, reason: str) -> None:
    """The alarm means a timeout, any other end a crash."""
    assert crash_verdict(status, 2.5) == Verdict(outcome, reason)


def test_a_verdict_survives_the_record() -> None:
    """This includes a reason that looks like another verdict."""
    verdict = Verdict(Outcome.TIMEOUT, "crashed: twice")
    assert Verdict.unpack(verdict.pack()) == verdict


@pytest.mark.parametrize(("code", "status"), [(None, 0), (3, 3), ("a message", 1)])
def test_a_process_that_exits_tells_its_code(code: object, status: int) -> None:
    """It is the code with which the interpreter ends."""
    assert exit_status(SimpleNamespace(_apply_result=None), SystemExit(code)) == status


def test_a_lost_process_leaves_its_code_with_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code is stored before the request is told of the crash."""
    heard: list[int | None] = []
    job = SimpleNamespace(_worker_lost=None)
    request = SimpleNamespace(_apply_result=lambda: job)
    monkeypatch.setattr(
        ProcessPool.Pool, "mark_as_worker_lost", lambda *_: heard.append(exit_status(request, RuntimeError()))
    )
    pool = ProcessPool.Pool.__new__(ProcessPool.Pool)
    pool.on_job_process_lost(job, 7, -signal.SIGSEGV)
    assert heard == [-signal.SIGSEGV]
    assert exit_status(SimpleNamespace(_apply_result=lambda: None), RuntimeError()) is None
