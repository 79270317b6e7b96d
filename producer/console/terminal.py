"""Messages for people. A terminal that is closed, or a reader that is gone, never stops the command."""

import sys
from contextlib import suppress

from shared.config.standard_streams import discard_standard_output


def say(line: str) -> None:
    """Prints a message on standard error."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Prints text on standard output; if that fails, says so."""
    try:
        print(text, flush=True)
    except OSError as error:
        discard_standard_output()
        say(f"Standard output cannot be written: {error.strerror}")
