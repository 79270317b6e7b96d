"""Log lines as JSON: one object a line, for Loki, Elasticsearch and the like."""

import logging
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from shared.config.logs import known_fields
from shared.domain.task_ids import parse_task_id

FIELDS = ("action", "job", "batch", "attempt", "worker", "images", "faces", "duration_s")
"""After time, level, logger and message; each where it is known. `error`, a traceback, comes last."""


class JsonLines(JsonFormatter):
    """One object a line."""

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        known = known_fields() | _of_task(record) | record.__dict__
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        log_data |= {"level": record.levelname, "logger": record.name, "message": record.getMessage()}
        log_data |= {name: known[name] for name in FIELDS if known.get(name) is not None}
        if record.exc_info:
            log_data["error"] = self.formatException(record.exc_info)


def _of_task(record: logging.LogRecord) -> dict[str, object]:
    """The fields in what Celery adds to its lines on a task."""
    data = getattr(record, "data", None)
    if not isinstance(data, dict):
        return {}
    fields: dict[str, object] = {}
    if (task := parse_task_id(str(data.get("id")))) is not None:
        fields = {"job": task.job, "batch": task.batch}
    if isinstance(seconds := data.get("runtime"), float):
        fields["duration_s"] = round(seconds, 3)
    return fields
