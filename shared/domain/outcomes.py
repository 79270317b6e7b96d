"""What became of one file."""

from enum import StrEnum


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
"""Outcomes that make the exit code 3."""
