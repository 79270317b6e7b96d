"""The same job again is an update: `run` and `enqueue`, with real workers."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import environment_of, run_in
from tests.support.results import result_bytes, rows_of
from tests.support.stage import Stage

_AGAIN = ("images", "--results", "out", "--job", "archive", "--workers", 1)


@pytest.fixture(scope="module")
def archive(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `run` has finished the job `archive` of the folder `images`."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "images" / "b").mkdir(parents=True)
    for name, source in (("a.jpg", "as-is.jpg"), ("b/c.jpg", "smaller.jpg"), ("b/d.jpg", "mirrored.jpg")):
        shutil.copyfile(sample / "hopper" / source, folder / "images" / name)
        os.utime(folder / "images" / name, (1_600_000_000, 1_600_000_000))
    (folder / "images" / "notes.txt").write_text("neither")
    os.utime(folder / "images" / "notes.txt", (1_600_000_000, 1_600_000_000))
    done = run_in(folder, *_AGAIN)
    assert done.returncode == 0, done.stderr
    return folder


def _paths(folder: Path) -> list[str]:
    return [row["path"] for row in rows_of(folder / "images.csv")]


def test_run_updates_its_results_and_they_are_those_of_a_job_from_nothing(archive: Path, sample: Path) -> None:
    """One line counts what is known. Only new images are computed, also when the server has forgotten the job."""
    results = archive / "out" / "archive"
    before = results.stat().st_ino
    calm = run_in(archive, *_AGAIN)
    assert (calm.returncode, "nothing has changed" in calm.stderr) == (0, True), calm.stderr
    assert results.stat().st_ino == before
    shutil.copyfile(sample / "collins" / "as-is.jpg", archive / "images" / "b" / "new.jpg")
    (archive / "images" / "b" / "d.jpg").rename(archive / "images" / "moved.jpg")
    (archive / "images" / "notes.txt").unlink()
    shutil.rmtree(archive / "state" / "server")
    done = run_in(archive, *_AGAIN)
    assert done.returncode == 0, done.stderr
    assert "archive: 4 images, 3 known (1 moved), 1 new, 1 gone" in done.stderr
    assert json.loads((results / "summary.json").read_text())["known"] == 3
    other = run_in(archive, "images", "--results", "out", "--job", "nothing", "--workers", 1, FACEQUEUE_CACHE_TTL_S="0")
    assert other.returncode == 0, other.stderr
    assert result_bytes(results) == result_bytes(archive / "out" / "nothing")
    for name in ("thumbnails.bin", "faces.parquet"):
        assert (results / name).read_bytes() == (archive / "out" / "nothing" / name).read_bytes()


def test_other_options_are_named_and_fresh_replaces_the_results(archive: Path) -> None:
    """Another contract never updates. The message says which option differs; --fresh computes everything."""
    refused = run_in(archive, *_AGAIN, "--margin", 0)
    assert refused.returncode == 2, refused.stderr
    assert "--margin was 32, now 0" in refused.stderr and "--fresh" in refused.stderr
    done = run_in(archive, *_AGAIN, "--margin", 0, "--fresh")
    assert done.returncode == 0, done.stderr
    summary = json.loads((archive / "out" / "archive" / "summary.json").read_text())
    assert (summary["contract"]["margin_px"], summary["known"], summary["recalled"]) == (0, 0, 0)


def test_run_computes_again_where_the_results_were_moved_away(archive: Path) -> None:
    """The server still knows the job."""
    done = run_in(archive, "images", "--results", "out", "--job", "away", "--workers", 1)
    assert done.returncode == 0, done.stderr
    (archive / "out" / "away").rename(archive / "out" / "away-old")
    done = run_in(archive, "images", "--results", "out", "--job", "away", "--workers", 1)
    assert (done.returncode, "computed again" in done.stderr) == (0, True)
    assert _paths(archive / "out" / "away") == _paths(archive / "out" / "away-old")


def test_enqueue_updates_where_it_sees_the_results(stage: Stage, sample: Path, tmp_path: Path) -> None:
    """Elsewhere it compares the number of files, and says where the update is possible."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.jpg", "b.jpg"):
        shutil.copyfile(sample / "hopper" / "smaller.jpg", images / name)
    root = {"FACEQUEUE_DATA_ROOT": str(tmp_path)}
    elsewhere = root | {"FACEQUEUE_RESULTS_DIR": str(tmp_path / "elsewhere")}
    again = ("enqueue", str(images), "--wait", "--job", "archive")
    stage.worker("--concurrency", "1", **root)
    assert stage.producer(*again, **root).returncode == 0
    calm = stage.producer(*again, "--checksum", **root)
    assert (calm.returncode, "nothing has changed" in calm.stderr) == (0, True), calm.stderr
    unseen = stage.producer(*again, **elsewhere)
    assert (unseen.returncode, "only the number of files (2)" in unseen.stderr) == (0, True), unseen.stderr
    shutil.copyfile(sample / "hopper" / "as-is.jpg", images / "c.jpg")
    unseen = stage.producer(*again, **elsewhere)
    assert (unseen.returncode, "with 2 images" in unseen.stderr) == (2, True), unseen.stderr
    assert "FACEQUEUE_RESULTS_DIR" in unseen.stderr and "Traceback" not in unseen.stderr
    done = stage.producer(*again, **root)
    assert (done.returncode, "3 images, 2 known, 1 new, 0 gone" in done.stderr) == (0, True), done.stderr
    assert _paths(stage.results / "archive") == ["a.jpg", "b.jpg", "c.jpg"]


def test_another_runtime_is_refused_and_fresh_gives_the_update_up(archive: Path, sample: Path) -> None:
    """The embeddings would not be comparable. The results stay until --fresh has computed everything."""
    again = ("images", "--results", "out", "--job", "runtime", "--workers", 1)
    assert run_in(archive, *again).returncode == 0
    summary = archive / "out" / "runtime" / "summary.json"
    values = json.loads(summary.read_text())
    values["contract"]["decoder"] = "another one"
    summary.write_text(json.dumps(values))
    before = result_bytes(archive / "out" / "runtime")
    shutil.copyfile(sample / "collins" / "as-is.jpg", archive / "images" / "runtime.jpg")
    refused = run_in(archive, *again, FACEQUEUE_WORKER_TIMEOUT_S="1")
    assert (refused.returncode, "decoder: another one there" in refused.stderr) == (4, True), refused.stderr
    assert "with --fresh" in refused.stderr
    assert result_bytes(archive / "out" / "runtime") == before
    done = run_in(archive, *again, "--fresh")
    assert done.returncode == 0, done.stderr
    assert "runtime.jpg" in _paths(archive / "out" / "runtime")


def test_a_run_that_is_killed_in_an_update_leaves_the_old_results_and_goes_on(archive: Path, sample: Path) -> None:
    """kill -9 of everything while the new images are computed; the next `run` finishes the update."""
    again = ("images", "--results", "out", "--job", "killed", "--workers", "1", "--batch-size", "1")
    assert run_in(archive, *again).returncode == 0
    results = archive / "out" / "killed"
    before = result_bytes(results)
    for number in range(8):
        with (archive / "images" / f"k{number}.jpg").open("wb") as file:
            file.write((sample / "hopper" / "as-is.jpg").read_bytes() + bytes([number]))
    command = [sys.executable, "-m", "producer", "run", *again]
    with subprocess.Popen(
        command, cwd=archive, env=environment_of(archive), stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stderr is not None
        line = b""
        while b"Job killed" not in line:
            line = process.stderr.readline()
            assert line, "it ended before"
        os.killpg(process.pid, 9)
    assert result_bytes(results) == before
    done = run_in(archive, *again)
    assert done.returncode == 0, done.stderr
    assert "Resuming job killed" in done.stderr
    other = run_in(archive, "images", "--results", "out", "--job", "whole", "--workers", 1, "--batch-size", 1)
    assert other.returncode == 0, other.stderr
    assert result_bytes(results) == result_bytes(archive / "out" / "whole")


def test_an_update_of_a_job_with_a_second_stage_has_the_bytes_of_a_job_from_nothing(
    sample: Path, tmp_path: Path
) -> None:
    """A few new faces are compared without tiles, many with them; so is the whole in one process."""
    tiles = {"FACEQUEUE_PAIR_TILES_FROM": "3", "FACEQUEUE_PAIR_BLOCK_ROWS": "4"}
    shutil.copytree(sample, tmp_path / "images")
    removed = sorted(path.relative_to(sample) for path in sample.rglob("*-*.jpg"))
    later, last = removed[:1], removed[1:9]
    options = ("images", "--results", "out", "--distances", "full", "--neighbors", "3", "--job")
    stages = []
    for number, some in enumerate(([*later, *last], later, last)):
        for name in some:
            if number == 0:
                (tmp_path / "images" / name).unlink()
            else:
                shutil.copyfile(sample / name, tmp_path / "images" / name)
        done = run_in(tmp_path, *options, "archive", "--workers", 2, **tiles)
        assert done.returncode in (0, 3), done.stderr
        # Each server writes its own logs.
        logs = [path.read_text(errors="replace") for path in (tmp_path / "state").rglob("*.log")]
        stages.append("tiles of its pair matrix" in "".join(logs))
        other = run_in(tmp_path, *options, f"nothing-{number}", "--workers", 1)
        assert other.returncode in (0, 3), other.stderr
        assert result_bytes(tmp_path / "out" / "archive") == result_bytes(tmp_path / "out" / f"nothing-{number}")
    assert stages == [True, False, True]
