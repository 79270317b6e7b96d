"""Size and time of a file, which tell whether it has changed since it was read."""

from typing import NamedTuple

_SETTLED_NS = 2 * 10**9
"""The coarsest clock of a file system in use: a file may change again within this time and keep its time."""


class FileStatus(NamedTuple):
    """Size and time of a file. Both are 0 if they are not known."""

    size: int = 0
    """In bytes."""
    mtime_ns: int = 0
    """When it last changed, in ns since 1970; 0 also if that was too recent, so that only its bytes can tell."""


def settled(status: FileStatus, now_ns: int) -> FileStatus:
    """The status that is recorded of a file read at `now_ns`, by the clock of the reading machine."""
    return status if now_ns - status.mtime_ns > _SETTLED_NS else FileStatus(status.size)
