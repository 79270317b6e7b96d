"""A results folder of somebody else's: it may be damaged in any way, or made to do harm."""

import json
import marshal
import os
from pathlib import Path

import numpy as np
import pytest

from producer.results.queries import show_neighbours
from shared.domain.errors import ResultsError
from shared.report import build
from shared.report.build import build_report
from tests.support.results_folders import make_results, people

ESCAPE = "\x1b]0;mine\x07"


def _folder(tmp_path: Path, *paths: str) -> Path:
    names = list(paths) or ["a.jpg", "b.jpg"]
    return make_results(tmp_path / "j", names, people(1, len(names)))


def test_a_report_is_never_written_through_a_link(tmp_path: Path) -> None:
    """A link under the name of the page in the making, for every process there may be, leads nowhere."""
    folder, victim = _folder(tmp_path), tmp_path / "victim"
    victim.write_text("dear")
    (folder / f".{build.REPORT}.{os.getpid()}").symlink_to(victim)
    build_report(folder, None)
    assert victim.read_text() == "dear"
    assert (folder / build.REPORT).is_file() and not (folder / build.REPORT).is_symlink()


def test_names_do_not_command_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tables and CSV show control characters in words."""
    folder = _folder(tmp_path, "a.jpg", f"{ESCAPE}.jpg")
    for as_csv in (True, False):
        show_neighbours(folder, "a.jpg", 1, as_csv=as_csv)
        shown = capsys.readouterr().out
        assert "\x1b" not in shown and "\\x1b]0;mine" in shown


@pytest.mark.parametrize(
    "changes",
    [
        [], 7, {"job": "j", "contract": [1]}, {"job": "j", "seconds": 3}, {"job": "j", "seconds": {"a": "b"}},
        {"job": "j", "workers": [1]}, {"job": "j", "retries": 7}, {"job": "j", "started": 5, "ended": 6},
        {"job": "j", "recalled": "many"}, {"job": "j", "source": "\ud800"}, {"job": "j", "workers": {"w": {}}},
    ],
)  # fmt: skip
def test_a_summary_of_another_kind_is_one_line(tmp_path: Path, changes: object) -> None:
    """No traceback, and no page."""
    folder = _folder(tmp_path)
    (folder / "summary.json").write_text(json.dumps(changes))
    with pytest.raises(ResultsError, match="does not hold what a results folder holds"):
        build_report(folder, None)
    assert not [path for path in folder.iterdir() if build.REPORT in path.name]


@pytest.mark.parametrize("trouble", ["field", "box", "text", "size"])
def test_tables_and_arrays_of_another_kind_are_one_line(tmp_path: Path, trouble: str) -> None:
    """An endless field, a box that is none, an array of text, a size that no number holds."""
    folder = _folder(tmp_path)
    faces, images = folder / "faces.csv", folder / "images.csv"
    if trouble == "field":
        faces.write_text(faces.read_text().replace("a.jpg", "a" * 200_000))
    elif trouble == "box":
        faces.write_text(faces.read_text().replace("10.0", "nan"))
    elif trouble == "text":
        np.save(folder / "embeddings.npy", np.full((2, 128), "x"))
    else:
        images.write_text(images.read_text().replace(",100,", f",{10**30},"))
    with pytest.raises(ResultsError, match="does not hold what a results folder holds"):
        build_report(folder, None)


def test_a_profile_that_is_none_costs_no_report(tmp_path: Path) -> None:
    """What cProfile did not write is left out, whatever it is."""
    folder = _folder(tmp_path)
    (folder / "profile").mkdir()
    key = ("f.py", 1, "f")
    for name, value in enumerate(
        ([1], {"a": 1}, {key: 1}, {key: ("a", "b", "c", "d", {})}, {key: (1, 1, None, 1.0, {})})
    ):
        (folder / "profile" / f"{name}.prof").write_bytes(marshal.dumps(value))
    assert build_report(folder, None).is_file()
