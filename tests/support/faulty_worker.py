"""A worker with built-in faults, for tests: `python -m tests.support.faulty_worker ...` takes the arguments of `python
-m worker`.

Files with a mark after their image data crash, hang, fill the memory, raise, or slow down the process that reads them.
A file named by CHAOS_HOLD prevents the aggregator from publishing while it exists.
"""

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

from worker.aggregation import results_writer as results
from worker.vision import pipeline

MARKS = {
    "segv": b"chaos:segv",
    "hang": b"chaos:hang",
    "memory": b"chaos:memory",
    "raise": b"chaos:raise",
    "exit": b"chaos:exit",
    "slow": b"chaos:slow",
}
SLOW_S = 0.5
_decode, _sync_tree = pipeline.decode, results._sync_tree


def _act(data: bytes) -> None:
    mark = data[-40:]
    if MARKS["segv"] in mark:
        os.kill(os.getpid(), signal.SIGSEGV)
    if MARKS["hang"] in mark:
        time.sleep(3600)
    if MARKS["memory"] in mark:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (64 * 2**30, hard))
        bytearray(1 << 40)
    if MARKS["raise"] in mark:
        raise ZeroDivisionError("not foreseen")
    if MARKS["exit"] in mark:
        os._exit(3)
    if MARKS["slow"] in mark:
        time.sleep(SLOW_S)


def _faulty_decode(data: bytes, *arguments: Any) -> Any:
    _act(data)
    return _decode(data, *arguments)


def _held_sync_tree(folder: Path) -> None:
    while Path(os.environ.get("CHAOS_HOLD", "/nonexistent")).exists():
        time.sleep(0.05)
    _sync_tree(folder)


if __name__ == "__main__":
    from worker.__main__ import main

    pipeline.decode = _faulty_decode
    results._sync_tree = _held_sync_tree
    main()
