"""Records which scripts and which functions of a mutated file run: only tests that reach a mutant can notice it."""

import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

from redis.commands.core import Script


@contextmanager
def noting_places(root: Path, paths: Collection[Path]) -> Iterator[set[str]]:
    """Collects the places, as `Mutant.place` names them, that this process reaches in these files."""
    reached: set[str] = set()
    scripts = {(root / path).read_text(): str(path) for path in paths if path.suffix == ".lua"}
    modules = {str(root / path): str(path) for path in paths if path.suffix == ".py"}
    run = Script.__call__

    def noted(script: Any, *args: Any, **options: Any) -> Any:
        if script.script in scripts:
            reached.add(scripts[script.script])
        return run(script, *args, **options)

    def called(frame: FrameType, *_: object) -> None:
        if frame.f_code.co_filename in modules:
            reached.add(f"{modules[frame.f_code.co_filename]}:{frame.f_code.co_qualname.partition('.<locals>')[0]}")

    with mock.patch.object(Script, "__call__", noted):
        threading.settrace(called)
        sys.settrace(called)
        try:
            yield reached
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]
