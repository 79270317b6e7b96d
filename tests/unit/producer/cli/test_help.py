"""The `--help` texts of both command lines."""

import pytest
import typer
from typer.testing import CliRunner

from producer.cli.app import cli as producer
from worker.__main__ import cli as worker


@pytest.mark.parametrize("app", [producer, worker], ids=["producer", "worker"])
def test_flags_are_shown_without_the_type_of_a_value(app: typer.Typer) -> None:
    """This holds for every command and for `--help` itself. Options with a value still show its type."""
    runner = CliRunner(env={"COLUMNS": "160", "TERM": "dumb"})
    names = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    pages = [runner.invoke(app, [*command, "--help"]).output for command in ([], *([name] for name in names))]
    assert len(pages) > 2 and all("--help" in page for page in pages)
    assert not [line for page in pages for line in page.splitlines() if "bool" in line.lower()]
    assert any("<str>" in page or "TEXT" in page for page in pages)


def test_commands_are_listed_in_groups() -> None:
    """The order is: commands that create jobs, that read results, and that monitor workers."""
    page = CliRunner(env={"COLUMNS": "100", "TERM": "dumb"}).invoke(producer, ["--help"]).output
    places = [page.index(word) for word in ("Jobs", " run ", "Results", " groups ", "Operation", " doctor ")]
    assert places == sorted(places)
