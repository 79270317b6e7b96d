"""The functions that took the most time, from the profiles of `run --profile`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from shared.domain.paths import printable
from shared.results.files import read_json

_SHOWN = 20
_MOST = 1e15  # calls or seconds


@dataclass(frozen=True)
class CostlyFunction:
    """A function, over all worker processes."""

    name: str
    calls: int
    own_s: float
    """Without the functions that it called."""
    total_s: float
    """With them."""


class _Entry(BaseModel):
    """A function in the profile of one process, as worker/execution/profiling.py writes it."""

    model_config = ConfigDict(strict=True)
    file: str
    line: int
    function: str
    calls: int = Field(ge=0, le=_MOST)
    own_s: float = Field(ge=0, le=_MOST)
    total_s: float = Field(ge=0, le=_MOST)


_ENTRIES = TypeAdapter(list[_Entry])


def costly_functions(folder: Path) -> list[CostlyFunction]:
    """The most expensive functions first, by their own time, over all processes.

    Empty without profiles; files that are not profiles are left out.
    """
    found: dict[str, CostlyFunction] = {}
    for path in sorted(folder.glob("*.json")):
        for entry in _read(path):
            name = _name(entry)
            before = found.get(name, CostlyFunction(name, 0, 0.0, 0.0))
            found[name] = CostlyFunction(
                name, before.calls + entry.calls, before.own_s + entry.own_s, before.total_s + entry.total_s
            )
    return sorted(found.values(), key=lambda function: (-function.own_s, function.name))[:_SHOWN]


def _read(path: Path) -> list[_Entry]:
    try:
        values: Any = read_json(path)
        return _ENTRIES.validate_python(values["functions"])
    except (OSError, ValueError, TypeError, LookupError):
        return []


def _name(entry: _Entry) -> str:
    if entry.file == "~":  # built in
        return printable(entry.function)
    # The last two parts name the module; those before them belong to this machine.
    return printable(f"{'/'.join(Path(entry.file).parts[-2:])}:{entry.line} {entry.function}")
