"""Signals that end `run`: it shuts down cleanly on each of them, and a second one does not interrupt that."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Makes SIGTERM, and SIGHUP from a closed terminal, raise KeyboardInterrupt as Ctrl-C does.

    After one, they are ignored to the end of the process.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _ENDINGS}
    signal.signal(signal.SIGTERM, interrupt)
    if before[signal.SIGHUP] is not signal.SIG_IGN:  # `nohup` ignores it
        signal.signal(signal.SIGHUP, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        _ignore_endings()  # until the process ends, with the exit code of an interrupted command
        raise
    except BaseException:
        _restore(before)
        raise
    _restore(before)


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Delays the effect of signals that end `run` to the end of the block: an interrupted `Popen` loses its process."""
    arrived: list[int] = []
    in_main = threading.current_thread() is threading.main_thread()  # no other thread is interrupted
    before = {number: signal.getsignal(number) for number in _ENDINGS} if in_main else {}
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        _restore(before)
        if arrived:
            signal.raise_signal(arrived[0])


def _restore(handlers: "dict[signal.Signals, Any]") -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def end_undisturbed(stack: ExitStack, stop: Callable[[], None]) -> None:
    """Makes the stack call `stop`, which no second Ctrl-C and no SIGHUP of the shell then cuts short."""
    stack.callback(stop)
    stack.callback(_ignore_endings)  # the stack calls the last callback first


def _ignore_endings() -> None:
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)
