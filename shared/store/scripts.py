"""Runs the Lua scripts in `lua/`. Each declares every key that it touches."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from shared.store.redis_client import Client


def run_script(client: Client, name: str, keys: Sequence[str | bytes], args: Sequence[Any]) -> Any:
    """Runs `lua/<name>.lua` on the server and returns its answer."""
    return client.register_script(_source(name))(keys=keys, args=args)


@cache
def _source(name: str) -> str:
    return (Path(__file__).parent / "lua" / f"{name}.lua").read_text()
