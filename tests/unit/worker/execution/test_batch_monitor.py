"""What the main process counts of a task's answer."""

from types import SimpleNamespace
from typing import Any

import pytest

from worker.answers import AnswerKind, TaskAnswer, not_wanted
from worker.execution.crash_attribution import BatchMonitor
from worker.execution.progress import Progress


@pytest.mark.parametrize(
    ("answer", "images", "refusals"),
    [
        (TaskAnswer(kind=AnswerKind.STORED, images=3), 3, 0),
        (TaskAnswer(kind=AnswerKind.REFUSED, reason="no weights"), 0, 1),
        (not_wanted("done"), 0, 0),
        (TaskAnswer(kind=AnswerKind.FAILED, reason="disk full", images=3), 0, 0),
    ],
)
def test_only_stored_images_and_refusals_count(answer: TaskAnswer, images: int, refusals: int) -> None:
    """A batch that nobody wanted any more is another process's work, and no reason to look at queues."""
    nothing: Any = None
    progress, refused = Progress(), []
    monitor = BatchMonitor(nothing, nothing, nothing, progress, lambda: refused.append(1))
    monitor.answered(SimpleNamespace(worker_pid=7), answer)
    assert (progress.of_process(7), len(refused)) == (images, refusals)
