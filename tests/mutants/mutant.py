"""One small change of one file that the fast tests should notice."""

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A file with one change."""

    path: Path
    """The path relative to the checkout."""
    line: int
    """The line number of the change, from 1."""
    what: str
    before: str
    """The original line, without its indentation."""
    after: str
    """The changed line."""
    source: str
    """The whole file with the change."""
    function: str = ""
    """The qualified name of the Python function with the change; empty for a script, which is mutated as a whole."""

    @property
    def place(self) -> str:
        """The place that a test must reach to notice the change, as `tests.mutants.reached` names it."""
        return f"{self.path}:{self.function}" if self.function else str(self.path)

    def within(self, function: str) -> "Mutant":
        """The same mutant, assigned to this function."""
        return replace(self, function=function)

    def row(self, verdict: str) -> str:
        """The mutant as a row of a Markdown table."""
        cells = (verdict, f"{self.path}:{self.line}", self.what, f"`{self.before}`", f"`{self.after}`")
        return f"| {' | '.join(cells)} |"


def replaced(path: Path, source: str, start: int, end: int, text: str, what: str) -> Mutant:
    """The mutant with another text in place of `source[start:end]`."""
    changed = source[:start] + text + source[end:]
    first = source.rfind("\n", 0, start) + 1
    tail = source.find("\n", end)
    tail = len(source) if tail < 0 else tail
    before = " ".join(source[first:tail].split())
    after = " ".join(changed[first : tail + len(changed) - len(source)].split())
    return Mutant(path, source.count("\n", 0, start) + 1, what, before, after, changed)
