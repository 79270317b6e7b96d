"""A worker's local sample log has a bounded size and never makes the worker fail."""

import csv
import logging
import os
import time
from pathlib import Path

import pytest

from shared.results.schema import SAMPLE_COLUMNS
from worker.aggregation.sample_files import earlier_samples, write_samples
from worker.supervision.sample_log import SampleLog

NAME = "worker-7@host"


def _row(number: int) -> dict[str, str]:
    return dict.fromkeys(SAMPLE_COLUMNS, "") | {"time": f"2026-01-31T00:00:{number:02}.000+00:00", "job": "a,b"}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_begins_with_its_columns_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    """A restarted container has the same name: there is one header, and all rows."""
    for start in range(2):
        log = SampleLog(tmp_path / "new", NAME, 1e6)
        log.write([_row(2 * start), _row(2 * start + 1)])
    assert _rows(log.path) == [_row(number) for number in range(4)]


def test_a_full_file_becomes_the_first(tmp_path: Path) -> None:
    """There are two files with headers, and the newest rows are in them."""
    log = SampleLog(tmp_path, NAME, 1000)
    for number in range(50):
        log.write([_row(number)])
    older = tmp_path / f"{NAME}.csv.1"
    assert sorted(tmp_path.iterdir()) == sorted([log.path, older])
    assert log.path.stat().st_size < 1100 and older.stat().st_size < 1100
    kept = _rows(older) + _rows(log.path)
    assert kept == [_row(number) for number in range(50 - len(kept), 50)]


def test_a_file_with_other_columns_is_put_aside(tmp_path: Path) -> None:
    """It is from an earlier version. Rows must not get the wrong columns."""
    (tmp_path / f"{NAME}.csv").write_text("time,pid\n1,2\n")
    log = SampleLog(tmp_path, NAME, 1e6)
    log.write([_row(1)])
    assert _rows(log.path) == [_row(1)]
    assert (tmp_path / f"{NAME}.csv.1").read_text() == "time,pid\n1,2\n"


def test_a_file_that_is_moved_away_begins_anew(tmp_path: Path) -> None:
    """A log collector may move it."""
    log = SampleLog(tmp_path, NAME, 1e6)
    log.write([_row(1)])
    log.path.rename(tmp_path / "collected")
    log.write([_row(2)])
    assert _rows(log.path) == [_row(2)]


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An error at the start (a read-only container) or later is logged in one line, without an exception."""
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        log = SampleLog(tmp_path / "file" / "logs", NAME, 1e6)
        log.write([_row(1)])
        log.write([_row(2)])
    assert [record.action for record in caplog.records] == ["sample_log_off"]  # type: ignore[attr-defined]
    assert "FACEQUEUE_LOG_DIR" in caplog.text
    caplog.clear()
    late = SampleLog(tmp_path / "late", NAME, 1e6)
    late.path.unlink()
    late.path.parent.rmdir()
    late.write([_row(1)])
    late.write([_row(2)])
    assert len(caplog.records) == 1


def test_only_our_own_old_logs_are_removed(tmp_path: Path) -> None:
    """They are removed a week after their last line. Other files stay."""
    old = SampleLog(tmp_path, "worker-1@host", 1e6).path
    old.write_text(",".join(SAMPLE_COLUMNS) + "\n")
    (tmp_path / "somebody@else.csv").write_text("precious\n")
    (tmp_path / "notes.csv").write_text(",".join(SAMPLE_COLUMNS) + "\n")
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - 8 * 24 * 3600,) * 2)
    fresh = SampleLog(tmp_path, "worker-2@host", 1e6).path
    again = SampleLog(tmp_path, NAME, 1e6).path
    assert {path.name for path in tmp_path.iterdir()} == {
        "somebody@else.csv",
        "notes.csv",
        fresh.name,
        again.name,
    }


def test_two_workers_never_share_a_file(tmp_path: Path) -> None:
    """Names with a slash, a dash or a percent sign have separate logs, and the results recover the names."""
    names = ["a/b@h", "a-b@h", "a%2Fb@h", "a%252Fb@h", "../up@h"]
    logs = [SampleLog(tmp_path / "logs", name, 1e6) for name in names]
    for number, log in enumerate(logs):
        log.write([_row(number)])
    assert [_rows(log.path) for log in logs] == [[_row(number)] for number in range(len(names))]
    assert {log.path.parent for log in logs} == {tmp_path / "logs"}
    samples = {name: [_row(number)] for number, name in enumerate(names)}
    write_samples(samples, tmp_path, {})
    assert {worker: list(rows) for worker, rows in earlier_samples(tmp_path).items()} == samples
