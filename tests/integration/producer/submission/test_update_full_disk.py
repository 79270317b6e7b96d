"""An update whose results do not fit on the disk costs nothing, and goes on. It may also be a retry."""

import csv
import shutil
from pathlib import Path

from tests.support.commands import run_in
from tests.support.results import result_bytes, rows_of
from tests.support.small_disk import fill_disk, run_on_small_disk

_AGAIN = ("images", "--results", "disk/out", "--job", "archive", "--workers", 1)


def an_update_on_a_filling_disk(folder: Path) -> None:
    """The server has forgotten the job: a failed image is retried from the results folder alone."""
    disk, results = folder / "disk", folder / "disk" / "out" / "archive"
    first = run_in(folder, *_AGAIN, FACEQUEUE_MAX_IMAGE_MIB="1")
    assert first.returncode == 3, first.stderr
    assert [row["outcome"] for row in rows_of(results / "images.csv")] == ["ok", "too_large"]
    shutil.rmtree(folder / "state" / "server")
    before = result_bytes(results)

    fill_disk(disk, 8192)
    full = run_in(folder, *_AGAIN, "--retry")
    assert full.returncode == 1 and "Make room" in full.stderr, full.stderr
    assert "1 known, 0 new, 1 changed" in full.stderr and "Traceback" not in full.stderr
    assert result_bytes(results) == before
    assert [path.name for path in results.parent.iterdir()] == ["archive"]

    (disk / "filler").unlink()
    done = run_in(folder, *_AGAIN, "--retry")
    assert done.returncode == 0 and "Resuming job archive" in done.stderr, done.stderr
    assert [row["outcome"] for row in rows_of(results / "images.csv")] == ["ok", "ok"]
    (known,) = csv.DictReader(before["faces.csv"].decode().splitlines())
    assert rows_of(results / "faces.csv")[0] == known


def test_an_update_on_a_full_disk_leaves_the_old_results_and_goes_on(sample: Path, tmp_path: Path) -> None:
    """One line says it, with exit code 1; the same command finishes the job once there is room."""
    (tmp_path / "images").mkdir()
    (tmp_path / "disk").mkdir()
    shutil.copyfile(sample / "hopper" / "smaller.jpg", tmp_path / "images" / "a.jpg")
    padded = (sample / "hopper" / "as-is.jpg").read_bytes() + bytes(3 << 19)
    (tmp_path / "images" / "b.jpg").write_bytes(padded)
    story = f"from {__name__} import *; an_update_on_a_filling_disk(Path({str(tmp_path)!r}))"
    done = run_on_small_disk(tmp_path / "disk", 40, story)
    assert done.returncode == 0, done.stderr[-3000:]
