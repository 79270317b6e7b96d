"""The exit codes of both command lines."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of the command line, as docs/cli.md lists them."""

    FINISHED = 0
    """Finished; every file is ok, no_face or skipped."""
    UNFORESEEN = 1
    """Any other error."""
    WRONG_USAGE = 2
    """No such folder, empty folder, unknown job, other settings under the same name."""
    SOME_FAILED = 3
    """Finished; some images failed, and images.csv lists them."""
    NOT_FINISHED = 4
    """Interrupted, cancelled, no server, no worker or no producer within the stated time."""
