"""The outcomes of a file."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Outcome(StrEnum):
    """The outcome of one file."""

    OK = "ok"
    """At least one face."""
    NO_FACE = "no_face"
    SKIPPED = "skipped"
    """Neither an image extension nor an image signature."""
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    TIMEOUT = "timeout"
    CRASHED = "crashed"


FAILED = frozenset({Outcome.UNREADABLE, Outcome.TOO_LARGE, Outcome.TIMEOUT, Outcome.CRASHED})
"""The outcomes of failed images: `retry` processes these images again."""


@dataclass(frozen=True)
class Verdict:
    """The recorded outcome of an image that crashed its processes."""

    outcome: Outcome
    reason: str
    """For display."""

    def pack(self) -> str:
        """The verdict as the job record stores it."""
        return f"{self.outcome}: {self.reason}"

    @classmethod
    def unpack(cls, packed: str) -> Self:
        """The inverse of `pack`; ValueError for anything else."""
        outcome, _, reason = packed.partition(": ")
        return cls(Outcome(outcome), reason)
