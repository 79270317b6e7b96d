"""What all pages' templates have in common."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def make_environment(folder: Path) -> Environment:
    """The environment of the templates in a folder: it escapes all values, and fails on unknown names."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = _count
    return environment


def _count(number: int) -> str:
    return f"{number:,}"
