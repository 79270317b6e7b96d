"""What a worker's main process knows about the work of its child processes."""

import os

import pytest

from worker.execution.progress import Progress
from worker.supervision import readiness
from worker.supervision.readiness import LoadedProcesses


class _Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_images_are_counted_by_process_and_stay_when_it_ends() -> None:
    """The worker's total includes ended processes. A new process with a reused id starts at 0."""
    progress = Progress()
    progress.add(7, 16)
    progress.add(8, 4)
    progress.add(7, 1)
    assert (progress.of_process(7), progress.of_process(8), progress.of_process(9)) == (17, 4, 0)
    progress.keep_only({8})
    assert (progress.of_process(7), progress.total) == (0, 21)


def test_the_speed_is_that_of_the_last_minute() -> None:
    """For a young worker the period is shorter, and a minute after the last batch it is 0."""
    clock = _Clock()
    progress = Progress(clock)
    clock.now_s += 10
    progress.add(7, 30)
    assert progress.images_per_s() == 3.0
    clock.now_s += 110
    progress.add(7, 60)
    assert progress.images_per_s() == 1.0
    clock.now_s += 61
    assert progress.images_per_s() == 0.0


def test_processes_say_that_they_have_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process counts once. A process outside the pool has no place."""
    loaded = LoadedProcesses()
    loaded.note_this()
    assert loaded.count([os.getpid()]) == 0

    class _Second:
        index = 1

    monkeypatch.setattr(readiness, "current_process", _Second)
    loaded.note_this()
    loaded.note_this()
    assert loaded.count([os.getpid(), 1]) == 1
    assert loaded.count([1]) == 0
