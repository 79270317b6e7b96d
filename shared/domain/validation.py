"""Describes pydantic's validation errors in one line."""

from pydantic import ValidationError


def explain(error: ValidationError) -> str:
    """The first error in one line, and the number of further errors."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:100] or "message"  # a field name can be megabytes long
    more = error.error_count() - 1
    what = "not an object" if first["type"] == "model_type" else first["msg"]  # it names our classes
    return f"{where}: {what}" + (f" (and {more} more)" if more else "")
