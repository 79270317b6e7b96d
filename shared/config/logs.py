"""Logs: a short sentence, and fields for machines, of which `action` never changes its meaning.

`FACEQUEUE_LOG_FORMAT=json` shows the fields, one JSON object a line.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from shared.domain.text import visible_line

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
LogFormat = Literal["text", "json"]

_known: ContextVar[Mapping[str, object]] = ContextVar("known")
_of_process: dict[str, object] = {}


def log_to_stderr(format: LogFormat = "text", level: int = logging.INFO) -> None:
    """Sets up this process's log."""
    handler = logging.StreamHandler()
    if format == "json":
        from shared.config.json_logs import JsonLines

        handler.setFormatter(JsonLines())
        logging.captureWarnings(True)
    else:
        handler.setFormatter(_Lines(FORMAT))
    logging.basicConfig(level=level, handlers=[handler])


class _Lines(logging.Formatter):
    """Each message is one line, whatever names are in it. A traceback follows it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - its name in logging
        return visible_line(super().formatMessage(record))


def get_logger(name: str) -> logging.Logger:
    """The logger of one module: `facequeue.<name>`."""
    return logging.getLogger(f"facequeue.{name}")


def name_worker(name: str) -> None:
    """Names the worker in each line of this process and of those that it forks."""
    _of_process["worker"] = name


@contextmanager
def log_fields(**fields: object) -> Iterator[None]:
    """Adds fields to each line of this thread in the block."""
    token = _known.set(known_fields() | fields)
    try:
        yield
    finally:
        _known.reset(token)


def known_fields() -> dict[str, object]:
    """The fields of every line that is written here and now."""
    return {**_of_process, **_known.get({})}
