"""The look of the report, for pages beside it."""

from pathlib import Path

_TEMPLATES = Path(__file__).parent / "templates"


def report_style() -> str:
    """The report's style sheet."""
    return (_TEMPLATES / "report.css").read_text(encoding="utf-8")


def theme_script() -> str:
    """The script of the button `#theme`, which switches between light and dark."""
    return (_TEMPLATES / "theme.js").read_text(encoding="utf-8")
