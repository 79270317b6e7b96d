"""Messages for people, on standard error."""

import sys
from contextlib import suppress


def say(line: str) -> None:
    """Prints a message."""
    with suppress(OSError):  # the terminal may be closed, and a command that is shutting down has to finish
        print(line, file=sys.stderr, flush=True)
