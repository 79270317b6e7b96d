"""Replaces the original by a mutant in this process alone, without changing a file."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any


def put_in_place(root: Path, path: Path, source: str, function: str) -> None:
    """Replaces a script or a function from now on. LookupError if it cannot be replaced."""
    if path.suffix == ".py":
        _replace_code(sys.modules[".".join(path.with_suffix("").parts)], str(root / path), source, function)
    else:
        _replace_text(root / path, source)


def _replace_text(path: Path, text: str) -> None:
    read = Path.read_text

    def read_replaced(self: Path, *arguments: Any, **options: Any) -> str:
        return text if self == path else read(self, *arguments, **options)

    Path.read_text = read_replaced  # type: ignore[method-assign]


def _replace_code(module: ModuleType, filename: str, source: str, name: str) -> None:
    codes = {code.co_qualname: code for code in _codes(compile(source, filename, "exec"))}
    for function in _functions(module):
        if function.__qualname__ == name:
            function.__code__ = codes[name]
            return
    raise LookupError(f"{module.__name__} has no function {name} that could be replaced")


def _codes(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner
            yield from _codes(inner)


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    for value in vars(module).values():
        if isinstance(value, type) and value.__module__ == module.__name__:
            yield from filter(None, map(_function, vars(value).values()))
        elif found := _function(value):
            yield found


def _function(value: Any) -> FunctionType | None:
    """The function behind a method of any kind."""
    if isinstance(value, property):
        value = value.fget
    value = inspect.unwrap(getattr(value, "__func__", value))
    return value if isinstance(value, FunctionType) else None
