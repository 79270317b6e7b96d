"""The answers of tasks. A child process returns one, the worker's main process acts on it, and Flower shows it as one
line.

Celery passes only the `repr` of a return value to the main process. The `repr` of an answer is therefore JSON, and
`parse` is its inverse.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Self

from shared.domain.counts import counted

_MOST_REASON_CHARACTERS = 500
MOST_CHARACTERS = 8192
"""The maximum size of an answer's JSON, escapes included: Celery must not cut it off (`Task.resultrepr_maxsize`)."""


class AnswerKind(StrEnum):
    """What a task did with its message."""

    STORED = "stored"
    """A batch was computed and committed."""
    COMPARED = "compared"
    """The candidates of a tile of the pair matrix were written, or all its tiles were sent."""
    FINISHED = "finished"
    """A job's results were written."""
    FAILED = "failed"
    """A job's results could not be written."""
    REFUSED = "refused"
    """This worker cannot serve the job. It forwarded the message to the other workers."""
    NOT_WANTED = "not wanted"
    """The work is done already, cancelled, or leased to another process."""


@dataclass(frozen=True, kw_only=True, repr=False)
class TaskAnswer:
    """The answer of one task."""

    kind: AnswerKind
    reason: str = ""
    images: int = 0
    """The number of images in the committed batch, or in the whole job."""
    faces: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    """The number of images in the committed batch, by outcome."""

    def __repr__(self) -> str:
        values = asdict(self) | {"reason": self.reason[:_MOST_REASON_CHARACTERS]}
        return json.dumps({name: value for name, value in values.items() if value})

    def __str__(self) -> str:
        """The answer as one line, for display."""
        if self.reason:
            return f"{self.kind}: {self.reason}"
        counts = [counted(self.images, "image"), counted(self.faces, "face")]
        return f"{self.kind}: " + ", ".join(counts + [f"{n} {outcome}" for outcome, n in self.outcomes.items()])

    @classmethod
    def parse(cls, text: object) -> Self | None:
        """The answer with this `repr`; None for anything else."""
        try:
            values = json.loads(text) if isinstance(text, str) else None
            return cls(**{**values, "kind": AnswerKind(values["kind"])}) if isinstance(values, dict) else None
        except (ValueError, TypeError, LookupError):
            return None


def not_wanted(reason: object) -> TaskAnswer:
    """The answer for work that is done already, cancelled, or leased to another process."""
    return TaskAnswer(kind=AnswerKind.NOT_WANTED, reason=str(reason))


def show_line_in_log(record: logging.LogRecord) -> bool:
    """A logging filter: Celery's line about an ended task shows its answer in readable form."""
    if isinstance(record.args, Mapping):
        answer = TaskAnswer.parse(record.args.get("return_value"))
        if answer is not None:
            record.args = {**record.args, "return_value": str(answer)}
    return True
