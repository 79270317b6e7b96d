"""The page itself: templates, filters, and the policy that keeps it from loading anything from the network."""

import base64
import hashlib
from dataclasses import asdict, fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from shared.domain.counts import counted
from shared.report.captions import duration, few, phases_in_words
from shared.report.templating import make_environment
from shared.report.view_model import LargePageView, SmallPageView

_TEMPLATES = Path(__file__).parent / "templates"
_BEFORE = (
    *("theme.js", "common.js", "search.js"),
    *("corrections.js", "correcting.js", "people_statements.js", "people_guards.js"),
    *("people_csv.js", "people_records.js", "correction_history.js", "earlier_corrections.js"),
    "correction_groups.js",
)
_SMALL = ("faces.js", "matrix.js", "small_groups.js")
_LARGE = ("large.js", "matrix.js", "large_matrix.js", "large_groups.js", "large_search.js")
_AFTER = ("selection.js", "correction_dialogs.js", "correction_bar.js")


def render(view: SmallPageView | LargePageView) -> str:
    """The page as HTML. All of its values are escaped, in the text and in the data."""
    large = isinstance(view, LargePageView)
    script = "\n".join(_read(name) for name in (*_BEFORE, *(_LARGE if large else _SMALL), *_AFTER))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Only these files of our own are not escaped. A browser runs no script with another content (script_hash).
    trusted = {"style": _read("report.css"), "script": script, "script_hash": f"sha256-{digest}"}
    ours = {name: Markup(text) for name, text in trusted.items()}  # noqa: S704
    values = {name: getattr(view, name) for name in (field.name for field in fields(view))}
    data = {"data": asdict(view.data), "large": large}
    return _environment().get_template("report.html.jinja").render(values | data | ours)


def load_templates() -> None:
    """Compiles the templates, which takes longer than rendering a small page, for the pages of this process."""
    for name in _environment().list_templates(extensions=["jinja"]):
        _environment().get_template(name)


def data_uri(content: bytes, kind: str) -> str:
    """The content as a `data:` address; `kind` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = make_environment(_TEMPLATES)
    environment.filters |= {
        "counted": counted,
        "decimals": _decimals,
        "few": few,
        "duration": duration,
        "moment": _moment,
        "phases_in_words": phases_in_words,
    }
    return environment


def _decimals(number: float, places: int) -> str:
    return f"{number:,.{places}f}"


def _moment(iso: str) -> str:
    return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
