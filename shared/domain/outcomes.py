"""What became of one file."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Outcome(StrEnum):
    """What became of one file."""

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
"""Outcomes of images that count as failed: `retry` tries them again."""


@dataclass(frozen=True)
class Verdict:
    """What is recorded of an image that ended its processes."""

    outcome: Outcome
    reason: str
    """For people."""

    def pack(self) -> str:
        """As the job record keeps it."""
        return f"{self.outcome}: {self.reason}"

    @classmethod
    def unpack(cls, packed: str) -> Self:
        """The inverse of `pack`; ValueError for what it never makes."""
        outcome, _, reason = packed.partition(": ")
        return cls(Outcome(outcome), reason)
