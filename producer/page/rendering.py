"""The page as HTML, and its style and script."""

from functools import cache
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from producer.page.view import View
from shared.report.look import report_style, theme_script
from shared.report.templating import make_environment

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(live: str, edition: str | None) -> str:
    """The whole page around what changes. Its script updates it from this edition on; None: it stays as it is."""
    # What `render_live` has escaped already.
    return _environment().get_template("page.html.jinja").render(live=Markup(live), edition=edition)  # noqa: S704


def render_live(view: View | None, problem: str) -> str:
    """What changes: figures and tables, and why they are missing or old. All values are escaped."""
    return _environment().get_template("live.html.jinja").render(view=view, problem=problem)


def style() -> str:
    """The style sheet: the report's, and what only this page has."""
    return f"{report_style()}\n{_read('page.css')}"


def script() -> str:
    """The script: the report's switch between light and dark, and the updates."""
    return f"{theme_script()}\n{_read('page.js')}"


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return make_environment(_TEMPLATES)
