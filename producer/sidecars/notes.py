"""Reports problems with single files, one line each, and counts those beyond a limit."""

from collections.abc import Callable

from shared.domain.counts import counted
from shared.domain.text import one_line

_MOST_LINES = 20


class Notes:
    """Lines about files. The first ones are said at once; `close` says how many there were."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self.count = 0

    def add(self, file: str, reason: str) -> None:
        """Notes what is the matter with a file."""
        self.count += 1
        if self.count <= _MOST_LINES:
            self._say(f"{one_line(file)}: {one_line(reason)}.")

    def close(self) -> None:
        """Says how many lines were not said."""
        if self.count > _MOST_LINES:
            self._say(f"... and {counted(self.count - _MOST_LINES, 'more file')} like these.")
