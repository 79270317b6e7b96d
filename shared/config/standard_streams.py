"""The three standard streams of a process, which its caller may have closed (`>&-`), or whose reader may be gone. What
is written there is visible: no name of a file can turn the text around it.
"""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class VisibleText(io.TextIOWrapper):
    """A text stream whose invisible characters are escaped (`shared.domain.text.visible`), except for data."""

    is_data = False

    def write(self, text: str, /) -> int:
        """Writes the text; returns the number of its characters."""
        if self.is_data or text.isascii():
            return super().write(text)
        from shared.domain.text import visible  # few processes need it, and most before they have done anything else

        super().write(visible(text))
        return len(text)


def open_standard_streams() -> None:
    """Opens /dev/null in the place of the standard streams that are closed. Otherwise a file that is opened later takes
    the place, and messages are written into it. Makes output and errors visible text.
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
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            visible = _visible(stream)
            setattr(sys, name, visible)
            setattr(sys, f"__{name}__", visible)  # Celery writes to it


def _visible(stream: io.TextIOWrapper) -> VisibleText:
    encoding, errors = stream.encoding, stream.errors
    buffered, through = stream.line_buffering, stream.write_through
    return VisibleText(stream.detach(), encoding, errors, line_buffering=buffered, write_through=through)


@contextmanager
def data_to_standard_output() -> Iterator[None]:
    """What is written to standard output in the block is for programs: names stay as they are, but on a terminal."""
    stream = sys.stdout
    if not isinstance(stream, VisibleText) or stream.isatty():
        yield
        return
    stream.is_data = True
    try:
        yield
    finally:
        stream.is_data = False


def discard_standard_output() -> None:
    """Drops what is still to be written to standard output, after a write to it has failed. Python repeats the write
    when it ends, and would change the exit code.
    """
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
