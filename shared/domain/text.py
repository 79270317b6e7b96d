"""Values of any kind as one line of text that is safe to print."""

import json

_MOST_CHARACTERS = 300


def one_line(value: object, most: int = _MOST_CHARACTERS) -> str:
    """The first `most` characters of a text, of bytes or of something made of JSON, on one line and safe to print."""
    if isinstance(value, bytes):
        text = value[: 4 * most].decode("utf-8", "backslashreplace")  # 4 bytes a character at most
    elif isinstance(value, str):
        text = value
    else:
        text = _as_json(value)
    text = text[:most]
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)[:most]


def _as_json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=repr)
    # Too deep, or with keys that JSON does not have.
    except (TypeError, ValueError, RecursionError):
        return f"a {type(value).__name__}"
