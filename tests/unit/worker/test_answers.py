"""What a task answers, on its way to the main process and to Flower."""

import pytest
from celery.utils.saferepr import saferepr

from worker.answers import MOST_CHARACTERS, Result, TaskAnswer, not_wanted

STORED = TaskAnswer(result=Result.STORED, images=3, faces=4, outcomes={"ok": 2, "no_face": 1})


@pytest.mark.parametrize(
    "answer",
    [
        STORED,
        TaskAnswer(result=Result.FINISHED, images=1, faces=0),
        TaskAnswer(
            result=Result.REFUSED, reason="quotes ' and \" and \\ and\nlines, \udcff bytes that are no text, café"
        ),
        not_wanted("done"),
    ],
)
def test_an_answer_survives_celerys_repr(answer: TaskAnswer) -> None:
    """The main process reads the same answer that the child has returned."""
    assert TaskAnswer.parse(saferepr(answer, MOST_CHARACTERS)) == answer


def test_a_long_reason_is_cut_before_celery_cuts_the_answer() -> None:
    """Also where each of its characters takes six in JSON."""
    for letter in ("x", "\udcff", '"'):
        read = TaskAnswer.parse(saferepr(TaskAnswer(result=Result.REFUSED, reason=letter * 10_000), MOST_CHARACTERS))
        assert read is not None
        assert (read.result, read.reason) == (Result.REFUSED, letter * 500)


@pytest.mark.parametrize("text", [None, 3, "", "stored: 3 faces", "'done'", "[]", "{}", '{"result": "?"}', '{"result": 1}',
                                  '{"result": "stored", "more": 1}'])  # fmt: skip
def test_what_is_no_answer_is_none(text: object) -> None:
    """The main process must live on, whatever Celery hands it."""
    assert TaskAnswer.parse(text) is None


def test_people_read_one_line() -> None:
    """Counts of a batch, or the reason why there are none."""
    assert str(STORED) == "stored: 3 images, 4 faces, 2 ok, 1 no_face"
    assert str(not_wanted("done")) == "not wanted: done"
