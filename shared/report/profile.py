"""The functions that took the most time, from the cProfile files of `run --profile`."""

import pstats
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

_SHOWN = 20


@dataclass(frozen=True)
class CostlyFunction:
    """A function, over all worker processes."""

    name: str
    calls: int
    own_s: float
    """In itself."""
    total_s: float
    """With all that it called."""


def costly_functions(folder: Path) -> list[CostlyFunction]:
    """The most expensive first, by their own time; empty without profiles."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for path in sorted(folder.glob("*.prof")):
        try:
            stats = pstats.Stats(str(path)).stats  # type: ignore[attr-defined]
            rows = [
                (_name(str(file), int(line), str(function)), int(calls), float(own_s), float(total_s))
                for (file, line, function), (_, calls, own_s, total_s, _) in stats.items()
            ]
        except (OSError, EOFError, ValueError, TypeError, AttributeError, OverflowError):  # no profile, or half of one
            continue
        for name, calls, own_s, total_s in rows:
            entry = sums[name]
            entry[0] += calls
            entry[1] += own_s
            entry[2] += total_s
    found = [CostlyFunction(name, int(calls), own, total) for name, (calls, own, total) in sums.items()]
    return sorted(found, key=lambda function: (-function.own_s, function.name))[:_SHOWN]


def _name(file: str, line: int, function: str) -> str:
    if file == "~":  # built in
        return function
    # The last two parts tell the module; what is before them is this machine's.
    return f"{'/'.join(Path(file).parts[-2:])}:{line} {function}"
