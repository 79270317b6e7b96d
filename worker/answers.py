"""What a task answers: the child process returns it, the worker's main process acts on it, Flower shows it as a line.

Celery hands the main process only the `repr` of a return value, as text. An answer's `repr` is therefore JSON, and `parse`
is its inverse.
"""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Self

_MOST_REASON_CHARACTERS = 500
MOST_CHARACTERS = 8192
"""Of an answer's JSON, escapes included: Celery must not cut it off (`Task.resultrepr_maxsize`)."""


class Result(StrEnum):
    """What a task did with its message."""

    STORED = "stored"
    """A batch was computed and committed."""
    FINISHED = "finished"
    """A job's results were written."""
    FAILED = "failed"
    """A job's results could not be written."""
    REFUSED = "refused"
    """This worker cannot serve the job; the message went on to another worker."""
    NOT_WANTED = "not wanted"
    """Nobody waits for this work: it is done, cancelled, or in other hands."""


@dataclass(frozen=True, kw_only=True, repr=False)
class TaskAnswer:
    """The answer of one task."""

    result: Result
    reason: str = ""
    images: int = 0
    """Of the committed batch, or of the whole job."""
    faces: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    """Images of the committed batch by outcome."""

    def __repr__(self) -> str:
        values = asdict(self) | {"reason": self.reason[:_MOST_REASON_CHARACTERS]}
        return json.dumps({name: value for name, value in values.items() if value})

    def __str__(self) -> str:
        """One line for people."""
        if self.reason:
            return f"{self.result}: {self.reason}"
        counts = [f"{self.images} images", f"{self.faces} faces"]
        return f"{self.result}: " + ", ".join(counts + [f"{n} {outcome}" for outcome, n in self.outcomes.items()])

    @classmethod
    def parse(cls, text: object) -> Self | None:
        """The answer with this `repr`; None for anything else."""
        try:
            values = json.loads(text) if isinstance(text, str) else None
            return cls(**{**values, "result": Result(values["result"])}) if isinstance(values, dict) else None
        except (ValueError, TypeError, LookupError):
            return None


def not_wanted(reason: object) -> TaskAnswer:
    """The answer where nobody waits for the work."""
    return TaskAnswer(result=Result.NOT_WANTED, reason=str(reason))
