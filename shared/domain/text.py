"""Text from others: JSON that may be anything, and any value as one line of text that is safe to print."""

import json
import re
from typing import Any

_MOST_CHARACTERS = 300
# They turn the text around them (U+202E and others), or cannot be seen. Not the joiners (U+200C, U+200D), which belong
# to words of many languages and to emoji.
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")


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


def visible(text: str) -> str:
    """The text for a terminal or a log: characters that turn other text around, or cannot be seen, are escaped."""
    return text if text.isascii() else _INVISIBLE.sub(_escaped, text)


def visible_line(text: str) -> str:
    """The same as one line, with control characters escaped."""
    return _CONTROLS.sub(_escaped, visible(text))


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _as_json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=repr)
    # Nested too deeply, or with keys that JSON does not allow.
    except (TypeError, ValueError, RecursionError):
        return f"a {type(value).__name__}"
