"""Comparing a folder with the results of its job: new, changed and missing files, and nothing else."""

import csv
import hashlib
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from producer.console.summary import print_summary
from producer.submission.discovery import find_images
from producer.submission.finished_jobs import _are_of
from producer.submission.folder_changes import find_changes
from producer.submission.folder_source import FolderSource
from shared.domain.errors import ResultsError
from shared.domain.paths import printable

AN_HOUR_S = 3600


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of every kind."""
    folder = tmp_path / "images"
    names = [b"a.jpg", b"b/a.jpg", b"b/z.jpg", b"c\nd.jpg", b"\xff.jpg", b"e/f/g.jpg", b"notes.txt", b"z.jpg"]
    for name in names:
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"bytes of " + name)
    (folder / "link").symlink_to(folder / "b")
    (folder / "nothing.jpg").symlink_to("gone.jpg")
    return folder


def _finish(folder: Path, results: Path, *, began_s: float) -> Path:
    """Writes the compared part of the results, as at the job's end."""
    results.mkdir()
    with (results / "images.csv").open("w", newline="") as images, (results / "digests.csv").open("w") as digests:
        csv.writer(images).writerow(["image", "path", "outcome"])
        digests.write("image,blake2b\n")
        for k, path in enumerate(find_images(folder)):
            read = (folder / path).is_file() and not path.endswith((".txt", "/"))
            digest = hashlib.blake2b((folder / path).read_bytes(), digest_size=16).hexdigest() if read else ""
            csv.writer(images).writerow([k, printable(path), "ok"])
            digests.write(f"{k},{digest}\n")
    summary = {"created": _iso(began_s), "started": _iso(began_s), "ended": _iso(began_s + 10)}
    (results / "summary.json").write_text(json.dumps(summary))
    return results


@pytest.mark.parametrize("ago_s", [-AN_HOUR_S, 0, AN_HOUR_S])
def test_nothing_has_changed(folder: Path, tmp_path: Path, ago_s: float) -> None:
    """Nothing changed, whether files are older than the job or must be read, with odd names and dead links."""
    results = _finish(folder, tmp_path / "results", began_s=time.time() - ago_s)
    if ago_s > 0:  # what has no digest has its time only
        for name in ("notes.txt", "nothing.jpg"):
            os.utime(folder / name, (0, 0), follow_symlinks=False)
    assert find_changes(FolderSource(folder), results).counts == {}


def test_every_kind_of_change_is_counted_and_named(folder: Path, tmp_path: Path) -> None:
    """New, changed and missing files with odd names are found, even if time and size are unchanged."""
    results = _finish(folder, tmp_path / "results", began_s=time.time())
    (folder / "0.jpg").write_text("new")
    (folder / "b" / "m.jpg").write_text("new")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xfe.jpg")).write_text("new")
    (folder / "c\nd.jpg").unlink()
    (folder / "e" / "f" / "g.jpg").unlink()
    before = (folder / "z.jpg").stat()
    (folder / "z.jpg").write_bytes((folder / "z.jpg").read_bytes()[::-1])
    os.utime(folder / "z.jpg", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(folder / "notes.txt", (time.time() + AN_HOUR_S,) * 2)
    os.utime(folder / "a.jpg", (time.time() + AN_HOUR_S,) * 2)  # touched, with the same bytes
    changes = find_changes(FolderSource(folder), results)
    assert changes.counts == {"new": 3, "changed": 2, "gone": 2}
    assert sorted(changes.examples["new"]) == ["0.jpg", "\\xfe.jpg", "b/m.jpg"]
    assert sorted(changes.examples["changed"]) == ["notes.txt", "z.jpg"]
    assert sorted(changes.examples["gone"]) == ["c\\nd.jpg", "e/f/g.jpg"]


def test_a_file_that_can_no_longer_be_read_has_changed(folder: Path, tmp_path: Path) -> None:
    """A dead link is in its place."""
    results = _finish(folder, tmp_path / "results", began_s=time.time())
    (folder / "a.jpg").unlink()
    (folder / "a.jpg").symlink_to("nowhere")
    assert find_changes(FolderSource(folder), results).counts == {"changed": 1}


def test_a_replaced_folder_is_all_new_and_all_gone(folder: Path, tmp_path: Path) -> None:
    """Only three files of each kind are named."""
    results = _finish(folder, tmp_path / "results", began_s=time.time())
    other = tmp_path / "other"
    other.mkdir()
    for k in range(5):
        (other / f"n{k}.jpg").write_text("x")
    changes = find_changes(FolderSource(other), results)
    assert changes.counts == {"new": 5, "gone": 10}
    assert str(changes).startswith("5 new (n0.jpg, n1.jpg, n2.jpg, ...), 10 gone (")


@pytest.mark.parametrize("broken", ["summary.json", "images.csv", "digests.csv"])
def test_results_that_cannot_be_compared_are_named(folder: Path, tmp_path: Path, broken: str) -> None:
    """A truncated and a missing file are reported."""
    results = _finish(folder, tmp_path / "results", began_s=time.time())
    whole = (results / broken).read_bytes()
    (results / broken).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ResultsError, match="cannot be compared"):
        find_changes(FolderSource(folder), results)
    (results / broken).unlink()
    with pytest.raises(ResultsError, match="cannot be compared"):
        find_changes(FolderSource(folder), results)


def _pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["summary.json", "images.csv", "digests.csv"])
def test_a_pipe_in_the_results_blocks_nobody(folder: Path, tmp_path: Path, name: str) -> None:
    """They may come from a stranger."""
    results = _finish(folder, tmp_path / "results", began_s=time.time())
    _pipe(results / name)
    with pytest.raises(ResultsError, match="not a regular file"):
        find_changes(FolderSource(folder), results)
    if name == "images.csv":
        counts = {"outcomes": {}, "images": 0, "faces": 0, "images_per_s": 0, "distances": {"written": True}}
        (results / "summary.json").write_text(json.dumps(counts))
    if name != "digests.csv":
        with pytest.raises(ResultsError, match="not a regular file"):
            print_summary(results)
    job: Any = SimpleNamespace(created_ms=1)
    assert not _are_of(job, results)


@pytest.mark.parametrize("summary", ["[" * 100_000, "[]", "{}", '{"retries": [7]}', '"text"'])
def test_a_summary_of_any_kind_is_an_error_of_one_line(folder: Path, tmp_path: Path, summary: str) -> None:
    """Too deep, or of other types."""
    results = _finish(folder, tmp_path / "results", began_s=time.time())
    (results / "summary.json").write_text(summary)
    with pytest.raises(ResultsError):
        find_changes(FolderSource(folder), results)
    with pytest.raises(ResultsError, match="cannot be read"):
        print_summary(results)
    job: Any = SimpleNamespace(created_ms=1)
    assert not _are_of(job, results)
