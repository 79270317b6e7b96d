"""What names of files can do to a terminal and to a log: nothing."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import pytest

from producer.console.tables import cell, new_table, print_table, write_csv
from shared.config.json_logs import JsonLines
from shared.config.logs import FORMAT, _Lines
from shared.config.standard_streams import VisibleText
from tests.support.stage import ROOT

TURNED = "photo\u202egpj.exe"
"""A terminal shows it as `photoexe.jpg`."""
SHOWN = r"photo\u202egpj.exe"
FAMILY = "\N{WOMAN}\u200d\N{GIRL} a\N{COMBINING DIAERESIS} \u05d0\u05d1.jpg"
"""Joiners, accents and letters from right to left belong to names."""


class _Screen(VisibleText):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@contextmanager
def _output(kind: type[VisibleText] = VisibleText) -> Iterator[io.BytesIO]:
    """What is written to standard output in the block."""
    written = io.BytesIO()
    with redirect_stdout(kind(written, encoding="utf-8", write_through=True)):
        yield written


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200f", "\u061c", "\u200b", "\ufeff", "\u00ad", "\U000e0041"])
def test_invisible_characters_are_escaped(hidden: str) -> None:
    """Those that turn other text around, and those that nobody sees. All others are as they were."""
    with _output() as written:
        print(f"{FAMILY}{hidden}|")
        assert written.getvalue().decode() == f"{FAMILY}{hidden.encode('unicode_escape').decode()}|\n"


def test_tables_are_escaped_and_csv_is_not() -> None:
    """Programs that read the CSV find the files by these names."""
    table = new_table("path")
    table.add_row(cell(f"[b]{TURNED}"))
    with _output() as written:
        print_table(table)
        write_csv(("path",), [(TURNED,)])
        print(TURNED)
        assert written.getvalue().decode().split() == ["path", f"[b]{SHOWN}", "path", TURNED, SHOWN]


def test_csv_on_a_terminal_is_escaped() -> None:
    """Somebody looks at it."""
    with _output(_Screen) as written:
        write_csv(("path",), [(TURNED,)])
        assert written.getvalue().decode().split() == ["path", SHOWN]


def test_a_message_of_the_log_is_one_line() -> None:
    """As text with everything escaped; as JSON the text itself is in the field, and the line is ASCII."""
    record = logging.makeLogRecord(
        {"msg": "read %s", "args": (f"{TURNED}\n\x1b[2J",), "name": "n", "levelname": "INFO"}
    )
    assert _Lines(FORMAT).format(record).endswith(r"n: read photo\u202egpj.exe\n\x1b[2J")
    line = JsonLines().format(record)
    assert line.isascii() and json.loads(line)["message"] == f"read {TURNED}\n\x1b[2J"


def test_a_traceback_keeps_its_lines() -> None:
    """It follows the message."""
    try:
        raise ValueError(TURNED)
    except ValueError:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info()})
    assert len(_Lines(FORMAT).format(record).splitlines()) > 2


def test_both_programs_write_visible_text() -> None:
    """Errors too, whatever prints them."""
    for program in ("producer", "worker"):
        done = subprocess.run([sys.executable, "-m", program, TURNED], capture_output=True, cwd=ROOT, timeout=60)
        assert done.returncode == 2
        assert "\u202e" not in done.stderr.decode() and r"\u202e" in done.stderr.decode(), program
