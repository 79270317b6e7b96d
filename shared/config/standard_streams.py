"""The three standard streams of a process, which its caller may have closed (`>&-`), or whose reader may be gone."""

import os
import sys
from pathlib import Path


def open_standard_streams() -> None:
    """Opens /dev/null in the place of the standard streams that are closed. Otherwise a file that is opened later takes
    the place, and messages are written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest number that is free
    nothing = Path(os.devnull)
    sys.stdin = sys.stdin or nothing.open(encoding="utf-8")
    sys.stdout = sys.stdout or nothing.open("w", encoding="utf-8")
    sys.stderr = sys.stderr or nothing.open("w", encoding="utf-8")


def discard_standard_output() -> None:
    """Drops what is still to be written to standard output, after a write to it has failed. Python repeats the write
    when it ends, and would change the exit code.
    """
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
