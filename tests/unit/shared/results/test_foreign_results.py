"""A foreign results folder may be damaged in any way or be malicious."""

import json
import marshal
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from producer.results.queries import show_neighbors
from shared.domain.errors import ResultsError
from shared.domain.quality_limits import QualityLimits
from shared.report import build
from shared.report.build import build_report
from shared.results.owner import why_not_replaced
from tests.support.results_folders import SIZE, make_results, people

ESCAPE = "\x1b]0;mine\x07"
_BAD_FIGURES: list[dict[str, object]] = [
    *({"calls": "a"}, {"calls": 10**400}, {"calls": -1}, {"own_s": None}, {"own_s": float("nan")}),
    *({"total_s": float("inf")}, {"line": 1.5}, {"function": 7}),
]


def _folder(tmp_path: Path, *paths: str) -> Path:
    names = list(paths) or ["a.jpg", "b.jpg"]
    return make_results(tmp_path / "j", names, people(1, len(names)))


def test_a_report_is_never_written_through_a_link(tmp_path: Path) -> None:
    """A link under the temporary name of the page, for any process id, is not followed."""
    folder, victim = _folder(tmp_path), tmp_path / "victim"
    victim.write_text("dear")
    (folder / f".{build.REPORT}.{os.getpid()}").symlink_to(victim)
    build_report(folder, None)
    assert victim.read_text() == "dear"
    assert (folder / build.REPORT).is_file() and not (folder / build.REPORT).is_symlink()


def test_names_do_not_command_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tables and CSV escape control characters."""
    folder = _folder(tmp_path, "a.jpg", f"{ESCAPE}.jpg")
    for as_csv in (True, False):
        show_neighbors(folder, "a.jpg", 1, QualityLimits(), as_csv=as_csv)
        shown = capsys.readouterr().out
        assert "\x1b" not in shown and "\\x1b]0;mine" in shown


@pytest.mark.parametrize(
    "changes",
    [
        [],
        7,
        {"job": "j", "contract": [1]},
        {"job": "j", "seconds": 3},
        {"job": "j", "seconds": {"a": "b"}},
        {"job": "j", "workers": [1]},
        {"job": "j", "retries": 7},
        {"job": "j", "started": 5, "ended": 6},
        {"job": "j", "recalled": "many"},
        {"job": "j", "source": "\ud800"},
        {"job": "j", "workers": {"w": {}}},
    ],
)
def test_a_summary_of_another_kind_is_one_line(tmp_path: Path, changes: object) -> None:
    """There is neither a traceback nor a page."""
    folder = _folder(tmp_path)
    (folder / "summary.json").write_text(json.dumps(changes))
    with pytest.raises(ResultsError, match="are damaged: "):
        build_report(folder, None)
    assert not [path for path in folder.iterdir() if build.REPORT in path.name]


@pytest.mark.parametrize("trouble", ["field", "box", "huge box", "text", "size"])
def test_tables_and_arrays_of_another_kind_are_one_line(tmp_path: Path, trouble: str) -> None:
    """An endless field, an invalid box, an array of text and an impossible size are reported in one line."""
    folder = _folder(tmp_path)
    faces, images = folder / "faces.csv", folder / "images.csv"
    if trouble == "field":
        faces.write_text(faces.read_text().replace("a.jpg", "a" * 200_000))
    elif trouble == "box":
        faces.write_text(faces.read_text().replace("10.0", "nan"))
    elif trouble == "huge box":
        faces.write_text(faces.read_text().replace("10.0", "-1e308"))
    elif trouble == "text":
        np.save(folder / "embeddings.npy", np.full((2, 128), "x"))
    else:
        images.write_text(images.read_text().replace(",100,", f",{10**30},"))
    with pytest.raises(ResultsError, match="are damaged: "):
        build_report(folder, None)


def test_a_profile_that_is_none_costs_no_report(tmp_path: Path) -> None:
    """Invalid profiles are left out. Valid ones are shown with one line per entry."""
    folder = _folder(tmp_path)
    (folder / "profile").mkdir()
    good = {"file": "/home/me/a.py", "line": 7, "function": f"good{ESCAPE}", "calls": 3, "own_s": 0.5, "total_s": 1}
    bad: list[object] = [
        *([1], {"a": 1}, {"functions": 7}, {"functions": [7]}, {"functions": [{"file": "dreadful.py"}]}),
        *({"functions": [good, good | {"function": "dreadful"} | change]} for change in _BAD_FIGURES),
    ]
    contents = [json.dumps(value).encode() for value in bad] + [b"{", b"\xff", b"[" * 100_000]
    for name, content in enumerate(contents):
        (folder / "profile" / f"{name}.json").write_bytes(content)
    (folder / "profile" / "worker-1.json").write_text(json.dumps({"functions": [good]}))
    text = build_report(folder, None).read_text()
    assert "dreadful" not in text
    assert "me/a.py:7 good\\x1b]0;mine" in text and "/home" not in text


def test_what_marshal_reads_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A foreign cProfile file could crash or take over the process that unmarshals it."""
    folder = _folder(tmp_path)
    (folder / "profile").mkdir()
    (folder / "profile" / "worker-1.prof").write_bytes(marshal.dumps({("f.py", 1, "f"): (1, 1, 1.0, 1.0, {})}))

    def refuse(*_: object) -> None:
        raise AssertionError("a stranger's file is unmarshaled")

    monkeypatch.setattr(marshal, "load", refuse)
    monkeypatch.setattr(marshal, "loads", refuse)
    assert "f.py" not in build_report(folder, None).read_text()


@pytest.mark.parametrize(
    "name",
    [
        *("summary.json", "faces.csv", "images.csv", "digests.csv", "embeddings.npy", "distances.npy"),
        *("resources/w@a.csv", "profile/worker-1.json"),
    ],
)
@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_only_regular_files_are_read(tmp_path: Path, name: str, kind: str) -> None:
    """A pipe does not block the reader, and a link does not lead out of the folder."""
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", SIZE).save(photos / "a.png")
    sample = {"time": "2026-01-31T12:00:01.000+00:00", "cpu_percent": 40, "rss_mib": 200}
    folder = make_results(tmp_path / "j", ["a.png", "b.png"], people(1, 2), resources={"w@a": [sample]}, photos=photos)
    (folder / "profile").mkdir()
    function = {"file": "a.py", "line": 7, "function": "f", "calls": 3, "own_s": 0.5, "total_s": 1}
    (folder / "profile" / "worker-1.json").write_text(json.dumps({"functions": [function]}))
    shown = {"resources/w@a.csv": "<h3>w@a</h3>", "profile/worker-1.json": "a.py:7 f", "digests.csv": "image/jpeg"}
    whole = build_report(folder, photos).read_text()
    assert all(text in whole for text in shown.values())
    (folder / name).rename(tmp_path / "moved")
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to(tmp_path / "moved")
    command = [sys.executable, "-m", "shared.report", str(folder), "--images", str(photos)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if name in shown:
        assert done.returncode == 0, done.stderr
        assert shown[name] not in (folder / "report.html").read_text()
    else:
        assert done.returncode == 1
        reason = "it is not a regular file" if kind == "pipe" else "it is a symbolic link"
        assert done.stderr == f"report: {folder / name} cannot be read: {reason}.\n"


def test_an_image_that_became_a_pipe_does_not_block_the_report(tmp_path: Path) -> None:
    """The report has no picture of it."""
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", SIZE).save(photos / "a.png")
    folder = make_results(tmp_path / "j", ["a.png"], people(1, 1), photos=photos)
    (photos / "a.png").unlink()
    os.mkfifo(photos / "a.png")
    assert "image/jpeg" not in build_report(folder, photos).read_text()


def test_a_summary_nested_too_deeply_is_damaged(tmp_path: Path) -> None:
    """This holds for the reader and for the aggregator that checks the folder's owner."""
    folder = _folder(tmp_path)
    (folder / "summary.json").write_text("[" * 100_000)
    with pytest.raises(ResultsError, match=r"are damaged: summary\.json is nested too deeply"):
        build_report(folder, None)
    assert "is damaged" in (why_not_replaced(folder, "o", "s") or "")


@pytest.mark.parametrize("trouble", ["objects", "header", "short", "zip"])
def test_an_array_of_another_kind_is_damaged(tmp_path: Path, trouble: str) -> None:
    """It is never unpickled and never read beyond its end."""
    folder = _folder(tmp_path)
    path = folder / "embeddings.npy"
    if trouble == "objects":
        np.save(path, np.array([{}, {}]), allow_pickle=True)
    elif trouble == "header":
        path.write_bytes(path.read_bytes().replace(b"(2, 128)", b"(2,-128)"))
    elif trouble == "short":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        with path.open("wb") as file:
            np.savez(file, people(1, 2))
    with pytest.raises(ResultsError, match="are damaged"):
        build_report(folder, None)
