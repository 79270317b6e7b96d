"""How urgent a job is."""

from enum import StrEnum


class Priority(StrEnum):
    """The priority of a job among the jobs that share a queue. Highest first."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"
