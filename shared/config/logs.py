"""Logs: a short sentence, and a stable `action` for machines."""

import logging

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def log_to_stderr(level: int = logging.INFO) -> None:
    """Sets up this process's log."""
    logging.basicConfig(level=level, format=FORMAT)


def get_logger(name: str) -> logging.Logger:
    """The logger of one module: `facequeue.<name>`."""
    return logging.getLogger(f"facequeue.{name}")
