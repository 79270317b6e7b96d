"""Validation errors in words."""

from pydantic import ValidationError


def explain(error: ValidationError) -> str:
    """The first thing that is wrong, in a line."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:100] or "message"  # a field's name can be megabytes long
    more = error.error_count() - 1
    what = "not an object" if first["type"] == "model_type" else first["msg"]  # pydantic's words name our classes
    return f"{where}: {what}" + (f" (and {more} more)" if more else "")
