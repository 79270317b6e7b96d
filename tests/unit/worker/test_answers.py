"""Answers of tasks on their way to the main process and to Flower."""

import logging

import pytest
from celery.app.trace import LOG_SUCCESS
from celery.utils.saferepr import saferepr

from worker.answers import MOST_CHARACTERS, AnswerKind, TaskAnswer, not_wanted, show_line_in_log

STORED = TaskAnswer(kind=AnswerKind.STORED, images=3, faces=4, outcomes={"ok": 2, "no_face": 1})


@pytest.mark.parametrize(
    "answer",
    [
        STORED,
        TaskAnswer(kind=AnswerKind.FINISHED, images=1, faces=0),
        TaskAnswer(
            kind=AnswerKind.REFUSED, reason="quotes ' and \" and \\ and\nlines, \udcff bytes that are no text, café"
        ),
        not_wanted("done"),
    ],
)
def test_an_answer_survives_celerys_repr(answer: TaskAnswer) -> None:
    """The main process parses the answer that the child process returned."""
    assert TaskAnswer.parse(saferepr(answer, MOST_CHARACTERS)) == answer


def test_a_long_reason_is_cut_before_celery_cuts_the_answer() -> None:
    """This includes a reason whose characters take six bytes each in JSON."""
    for letter in ("x", "\udcff", '"'):
        read = TaskAnswer.parse(saferepr(TaskAnswer(kind=AnswerKind.REFUSED, reason=letter * 10_000), MOST_CHARACTERS))
        assert read is not None
        assert (read.kind, read.reason) == (AnswerKind.REFUSED, letter * 500)


@pytest.mark.parametrize(
    "text",
    [
        None,
        3,
        "",
        "stored: 3 faces",
        "'done'",
        "[]",
        "{}",
        '{"kind": "?"}',
        '{"kind": 1}',
        '{"kind": "stored", "more": 1}',
    ],
)
def test_what_is_no_answer_is_none(text: object) -> None:
    """The main process must survive any value from Celery."""
    assert TaskAnswer.parse(text) is None


def test_people_read_one_line() -> None:
    """The line has the counts of a batch, or the reason why there are none."""
    assert str(STORED) == "stored: 3 images, 4 faces, 2 ok, 1 no_face"
    assert str(not_wanted("done")) == "not wanted: done"


def test_celerys_log_line_is_readable(caplog: pytest.LogCaptureFixture) -> None:
    """Other values stay as they are."""
    logger = logging.getLogger("celery.app.trace")
    logger.addFilter(show_line_in_log)
    try:
        for returned in (saferepr(STORED, MOST_CHARACTERS), "'pong'"):
            with caplog.at_level(logging.INFO, logger.name):
                logger.info(LOG_SUCCESS, {"id": "j:0:1", "name": "t", "runtime": 1.5, "return_value": returned})
        logger.warning("no arguments")
    finally:
        logger.removeFilter(show_line_in_log)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        f"Task t[j:0:1] succeeded in 1.5s: {STORED}",
        "Task t[j:0:1] succeeded in 1.5s: 'pong'",
        "no arguments",
    ]
