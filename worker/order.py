"""A worker that `run` starts before it knows what for: it imports its code, and then waits for a line of JSON."""

import gc
import json
import os
import sys
from importlib import import_module


def wait_for_order() -> None:
    """Makes this process what it would be, had it just been started with the order's arguments, variables and log.

    Ends it if there is no order: then `run` has ended, or has nothing to do.
    """
    gc.disable()  # until its pool starts: while code is imported there is nothing to collect, and it costs a tenth
    import_module("worker.app")
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        os._exit(0)
    order = json.loads(line)
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)
    os.environ |= order["environment"]
    sys.argv[1:] = order["arguments"]
