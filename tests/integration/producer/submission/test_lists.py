"""`run --files` and `enqueue --files`, end to end."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import environment_of, run_in
from tests.support.results import result_bytes, rows_of
from tests.support.stage import Stage, wait_until


@pytest.fixture(scope="module")
def images(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images at several depths."""
    folder = tmp_path_factory.mktemp("lists") / "images"
    for k, source in enumerate(sorted((sample / "hopper").iterdir())):
        target = folder / ("deep" if k % 2 else ".") / f"{k}{source.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return folder


def test_a_list_on_standard_input(images: Path, tmp_path: Path) -> None:
    """Rows have the list's order. A missing file and a folder are rows, and a dead list is refused in one line."""
    names = [path.relative_to(images).as_posix() for path in sorted(images.rglob("*.*"), reverse=True)]
    lines = [names[0], "gone/away.jpg", *names[1:], "deep/", names[0]]
    done = subprocess.run(
        [sys.executable, "-m", "producer", "run", str(images), "--files", "-", "--results", "out", "--job", "list"],
        input="\0".join(lines),
        env=environment_of(tmp_path) | {"FACEQUEUE_BATCH_SIZE": "3"},
        capture_output=True,
        text=True,
        timeout=150,
        cwd=tmp_path,
    )
    assert done.returncode == 3, done.stderr
    rows = rows_of(tmp_path / "out" / "list" / "images.csv")
    assert [row["path"] for row in rows] == [names[0], "gone/away.jpg", *names[1:], "deep"]
    errors = {row["path"]: row["error"] for row in rows if row["outcome"] == "unreadable"}
    assert errors == {"gone/away.jpg": "cannot be read: No such file or directory", "deep": "a folder, not a file"}
    (tmp_path / "bad.txt").write_text(f"{names[0]}\n/etc/passwd\n")
    refused = run_in(tmp_path, images, "--files", "bad.txt", "--results", "out")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1, refused.stderr
    assert "/etc/passwd (line 2) is not in the folder" in refused.stderr and "run / --files" in refused.stderr
    assert run_in(tmp_path, "--results", "out").returncode == 2


def test_a_killed_producer_goes_on_with_the_same_list_only(stage: Stage, images: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of the list changes no result. Another list is another job, or refused under its name."""
    names = [path.relative_to(images).as_posix() for path in sorted(images.rglob("*.*"), reverse=True)]
    (tmp_path / "list.csv").write_text("path\n" + "\n".join(names) + "\n")
    whole = ("enqueue", str(images), "--files", "list.csv", "--batch-size", "2")
    root = {"FACEQUEUE_DATA_ROOT": str(images.parent)}
    producer = stage.spawn("producer", *whole, "--job", "cut", log="p.log", FACEQUEUE_WINDOW_BATCHES="2", **root)
    wait_until(lambda: "batches are waiting" in stage.log("p.log"), 30, "the window is full")
    producer.kill()
    producer.wait()
    (tmp_path / "other.csv").write_text("path\n" + "\n".join(names[1:]) + "\n")
    (tmp_path / "list.csv").replace(tmp_path / "first.csv")
    (tmp_path / "other.csv").replace(tmp_path / "list.csv")
    refused = stage.producer(*whole, "--job", "cut", **root)
    assert (refused.returncode, "Give that list to resume it" in refused.stderr) == (2, True), refused.stderr
    other = stage.producer(*whole, **root)
    assert other.returncode == 0 and "Resuming" not in other.stderr, other.stderr
    (tmp_path / "first.csv").replace(tmp_path / "list.csv")
    stage.worker("--concurrency", "1", **root)
    again = stage.producer(*whole, "--job", "cut", "--wait", **root)
    assert (again.returncode, "Resuming job cut" in again.stderr) == (0, True), again.stderr
    calm = stage.producer(*whole, "--job", "calm", "--wait", **root)
    assert calm.returncode == 0, calm.stderr
    assert [row["path"] for row in rows_of(stage.results / "cut" / "images.csv")] == names
    assert result_bytes(stage.results / "cut") == result_bytes(stage.results / "calm")
