"""Text from others: JSON that may be anything, and any value as one line of text that is safe to print."""

import json
from typing import Any

_MOST_CHARACTERS = 300


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. ValueError if it is not JSON, or nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def one_line(value: object, most: int = _MOST_CHARACTERS) -> str:
    """The first `most` characters of a text, bytes or JSON value, as one line that is safe to print."""
    if isinstance(value, bytes):
        text = value[: 4 * most].decode("utf-8", "backslashreplace")  # at most 4 bytes per character
    elif isinstance(value, str):
        text = value
    else:
        text = _as_json(value)
    text = text[:most]
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)[:most]


def _as_json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=repr)
    # Nested too deeply, or with keys that JSON does not allow.
    except (TypeError, ValueError, RecursionError):
        return f"a {type(value).__name__}"
