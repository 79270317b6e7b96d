"""A finished job does not ignore later files: it says what has changed, and both suggested commands work."""

import shutil
from pathlib import Path

import pytest

from tests.support.commands import run_in
from tests.support.results import result_bytes, rows_of
from tests.support.stage import Stage


@pytest.fixture(scope="module")
def archive(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `run` has finished the job `archive` of the folder `images`."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "images" / "b").mkdir(parents=True)
    for name, source in (("a.jpg", "as-is.jpg"), ("b/c.jpg", "smaller.jpg"), ("b/d.jpg", "mirrored.jpg")):
        shutil.copyfile(sample / "hopper" / source, folder / "images" / name)
    (folder / "images" / "notes.txt").write_text("neither")
    done = run_in(folder, "images", "--results", "out", "--job", "archive", "--workers", 1)
    assert done.returncode == 0, done.stderr
    return folder


def _paths(folder: Path) -> list[str]:
    return [row["path"] for row in rows_of(folder / "images.csv")]


def test_run_says_what_is_new_changed_and_gone_and_takes_another_name(archive: Path, sample: Path) -> None:
    """With changes, the exit code is 2 and the results stay; without, it is 0. Another name computes the new state."""
    again = ("images", "--results", "out", "--job", "archive", "--workers", 1)
    (archive / "images" / "a.jpg").touch()
    calm = run_in(archive, *again)
    assert (calm.returncode, "was finished before" in calm.stderr) == (0, True)
    before = result_bytes(archive / "out" / "archive")
    shutil.copyfile(sample / "hopper" / "as-is.jpg", archive / "images" / "b" / "new.jpg")
    shutil.copyfile(sample / "hopper" / "smaller.jpg", archive / "images" / "a.jpg")
    (archive / "images" / "b" / "d.jpg").unlink()
    refused = run_in(archive, *again)
    assert refused.returncode == 2, refused.stderr
    assert "1 new (b/new.jpg), 1 changed (a.jpg), 1 gone (b/d.jpg)" in refused.stderr
    assert "another --job" in refused.stderr and "Traceback" not in refused.stderr
    assert result_bytes(archive / "out" / "archive") == before
    other = run_in(archive, "images", "--results", "out", "--job", "other", "--workers", 1)
    assert other.returncode == 0, other.stderr
    assert _paths(archive / "out" / "other") == ["a.jpg", "notes.txt", "b/c.jpg", "b/new.jpg"]


def test_run_computes_again_where_the_results_were_moved_away(archive: Path, sample: Path) -> None:
    """This is the other suggestion of the message."""
    again = ("images", "--results", "out", "--job", "archive", "--workers", 1)
    shutil.copyfile(sample / "hopper" / "as-is.jpg", archive / "images" / "z.jpg")
    refused = run_in(archive, *again)
    assert refused.returncode == 2, refused.stderr
    assert f"move {archive / 'out' / 'archive'} away" in refused.stderr
    (archive / "out" / "archive").rename(archive / "out" / "archive-old")
    done = run_in(archive, *again)
    assert (done.returncode, "computed again" in done.stderr) == (0, True)
    assert "z.jpg" in _paths(archive / "out" / "archive") and "z.jpg" not in _paths(archive / "out" / "archive-old")


def test_enqueue_says_it_too_with_and_without_the_results(stage: Stage, sample: Path, tmp_path: Path) -> None:
    """It compares the results if it can see them, else the number of files. Another name and `cancel` both work."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.jpg", "b.jpg"):
        shutil.copyfile(sample / "hopper" / "smaller.jpg", images / name)
    root = {"FACEQUEUE_DATA_ROOT": str(tmp_path)}
    elsewhere = root | {"FACEQUEUE_RESULTS_DIR": str(tmp_path / "elsewhere")}
    again = ("enqueue", str(images), "--wait", "--job", "archive")
    stage.worker("--concurrency", "1", **root)
    assert stage.producer(*again, **root).returncode == 0
    calm = stage.producer(*again, **root)
    assert (calm.returncode, "finished before; the folder is as it was" in calm.stderr) == (0, True), calm.stderr
    shutil.copyfile(sample / "hopper" / "as-is.jpg", images / "b.jpg")
    refused = stage.producer(*again, **root)
    assert (refused.returncode, "1 changed (b.jpg)" in refused.stderr) == (2, True), refused.stderr
    unseen = stage.producer(*again, **elsewhere)
    assert (unseen.returncode, "only the number of files (2)" in unseen.stderr) == (0, True), unseen.stderr
    shutil.copyfile(sample / "hopper" / "as-is.jpg", images / "c.jpg")
    unseen = stage.producer(*again, **elsewhere)
    assert (unseen.returncode, "3 files are there now, and the job has 2" in unseen.stderr) == (2, True), unseen.stderr
    assert "python -m producer cancel archive" in unseen.stderr
    assert stage.producer("enqueue", str(images), "--wait", "--job", "other", **root).returncode == 0
    assert _paths(stage.results / "other") == ["a.jpg", "b.jpg", "c.jpg"]
    assert stage.producer("cancel", "archive").returncode == 0
    assert stage.producer(*again, **root).returncode == 0
    assert _paths(stage.results / "archive") == ["a.jpg", "b.jpg", "c.jpg"]
