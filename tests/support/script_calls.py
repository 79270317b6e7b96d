"""The Redis commands of the server's scripts, from MONITOR."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from shared.store.redis_client import Client

_ALL_ARE_KEYS = ("UNLINK", "DEL", "EXISTS", "RENAME")
_END = "the-end-of-the-recording"


@dataclass
class ScriptCall:
    """One run of a script."""

    declared: list[str]
    touched: set[str] = field(default_factory=set)
    commands: int = 0


@contextmanager
def recorded_scripts(client: Client) -> Iterator[list[ScriptCall]]:
    """Records the scripts that run inside the block. Arguments before the keys must not contain spaces."""
    calls: list[ScriptCall] = []
    with client.monitor() as monitor:
        thread = threading.Thread(target=_record, args=(monitor, calls), daemon=True)
        thread.start()
        yield calls
        client.echo(_END)
        thread.join(30)
        assert not thread.is_alive()


def _record(monitor: Client, calls: list[ScriptCall]) -> None:
    loaded = False
    for said in monitor.listen():
        words = said["command"].split(" ")
        name = words[0].upper()
        if name == "ECHO" and words[1] == _END:
            return
        if name == "SCRIPT":
            loaded = True
        if name in ("EVAL", "EVALSHA"):
            first = next(
                k for k, word in enumerate(words) if k > 1 and word.isdigit()
            )  # a script's text may hold spaces
            call = ScriptCall(words[first + 1 : first + 1 + int(words[first])])
            # Redis also tells of the call that failed because the server did not have the script.
            if loaded and calls and calls[-1] == call:
                calls.pop()
            calls.append(call)
            loaded = False
        elif said["client_type"] == "lua" and name != "TIME":
            calls[-1].commands += 1
            calls[-1].touched.update(words[1:] if name in _ALL_ARE_KEYS else words[1:2])
