"""The results folder is published as a whole or not at all, and space is checked first."""

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from shared.domain.errors import ResultsError
from tests.support.made_up_blocks import block_of_faces, sealed_job, write_job
from worker.aggregation import results_writer as results


def test_writing_twice_gives_the_same_folder(tmp_path: Path) -> None:
    """The second run replaces the first one; no other file stays, visible or hidden."""
    write_job(sealed_job(3), [block_of_faces(3)], tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "j").iterdir() if path.suffix in (".npy", ".csv")}
    write_job(sealed_job(3), [block_of_faces(3)], tmp_path)
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "j").iterdir() if p.suffix in (".npy", ".csv")}
    assert [path.name for path in tmp_path.iterdir()] == ["j"]


def test_a_folder_that_is_no_results_folder_is_never_replaced(tmp_path: Path) -> None:
    """Photographs in a folder with the job's name stay, and nothing is written."""
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / "holiday.jpg").write_bytes(b"dear")
    with pytest.raises(ResultsError, match="is no results folder"):
        write_job(sealed_job(3), [block_of_faces(3)], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["j"]
    assert (tmp_path / "j" / "holiday.jpg").read_bytes() == b"dear"


def _earlier(folder: Path, **changes: str | None) -> dict[str, bytes]:
    """Writes results of three faces under the job's name with another summary; returns the folder's contents."""
    write_job(sealed_job(3), [block_of_faces(3)], folder)
    summary = json.loads((folder / "j" / "summary.json").read_text()) | changes
    kept = {name: value for name, value in summary.items() if value is not None}
    (folder / "j" / "summary.json").write_text(json.dumps(kept))
    return {path.name: path.read_bytes() for path in (folder / "j").iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"origin": "p", "source": "/other"}, r"j holds the results of /other, and this job is of images;"),
        ({"origin": "p"}, "holds results of images with other settings, or from another installation"),
        ({"origin": None, "source": "/other"}, "holds the results of /other, and this job is of images"),
        ({}, "summary.json, which says whose results these are, is damaged"),
    ],
)
def test_another_jobs_results_are_never_replaced(tmp_path: Path, changes: dict[str, str | None], message: str) -> None:
    """They stay, the error names both folders and what to do, and nothing is computed before."""
    before = _earlier(tmp_path, **changes)
    if not changes:
        (tmp_path / "j" / "summary.json").write_bytes(b"{")
        before["summary.json"] = b"{"

    def no_work() -> Iterator[bytes]:
        raise AssertionError("the blocks are read")
        yield b""

    with pytest.raises(ResultsError, match=message + ".*nothing of job 'j' is lost"):
        results.write_results(
            sealed_job(4),
            no_work(),
            {},
            tmp_path,
            resources=dict,
            threads=1,
            distances_max_bytes=2**30,
            may_publish=lambda: True,
        )
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "j").iterdir() if path.is_file()}
    assert [path.name for path in tmp_path.iterdir()] == ["j"]


@pytest.mark.parametrize("changes", [{}, {"origin": None}])
def test_the_same_job_replaces_its_results(tmp_path: Path, changes: dict[str, None]) -> None:
    """Results from before summaries had an origin are recognized by their source."""
    _earlier(tmp_path, **changes)
    write_job(sealed_job(4), [block_of_faces(4)], tmp_path)
    summary = json.loads((tmp_path / "j" / "summary.json").read_text())
    assert (summary["faces"], summary["origin"], summary["source"]) == (4, "o", "images")


def test_results_that_came_meanwhile_are_not_replaced(tmp_path: Path) -> None:
    """Another server's job of this name was faster. The folder is checked again before the rename."""

    def another_is_faster() -> bool:
        _earlier(tmp_path / "elsewhere", origin="p", source="/other")
        (tmp_path / "elsewhere" / "j").rename(tmp_path / "j")
        return True

    with pytest.raises(ResultsError, match="/other"):
        write_job(sealed_job(4), [block_of_faces(4)], tmp_path, may_publish=another_is_faster)
    assert json.loads((tmp_path / "j" / "summary.json").read_text())["origin"] == "p"
    assert not list(tmp_path.glob(".j.*"))


def test_a_disk_without_room_is_noticed_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`full` reports how much is missing and writes nothing; `auto` omits the matrix and says why."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=40 * 2**20))
    with pytest.raises(ResultsError, match=r"take 0\.\d+ GiB, and only 0\.04 GiB are free"):
        write_job(sealed_job(3000), [block_of_faces(3000)], tmp_path)
    assert not list(tmp_path.iterdir())
    summary = write_job(sealed_job(3000, "auto"), [block_of_faces(3000)], tmp_path)
    assert "are free in" in summary["distances"]["reason"]
    assert not (tmp_path / "j" / "distances.npy").exists()


@pytest.mark.parametrize("trouble", ["stale", "short"])
def test_nothing_is_left_of_a_copy_that_may_not_be(tmp_path: Path, trouble: str) -> None:
    """After a takeover or with a missing block, no folder is left, not even a part."""
    blocks = [block_of_faces(3)] if trouble == "stale" else [block_of_faces(2)]
    with pytest.raises(ResultsError):
        write_job(sealed_job(3), blocks, tmp_path, may_publish=lambda: trouble != "stale")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("before", [True, False])
def test_a_late_aggregator_does_not_take_the_results_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """It was suspended after it was allowed to publish. Another one took over and published."""
    write_job(sealed_job(3), [block_of_faces(3)], tmp_path)

    def another_does_it() -> bool:
        for copy in tmp_path.glob(".j.*.making"):
            shutil.rmtree(copy)
        return True

    def rename(path: Path, target: Path) -> Path:
        if path.name.endswith(".making"):  # between the look and the renames
            shutil.rmtree(path)
        path.replace(target)
        return target

    if not before:
        monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(ResultsError):
        write_job(sealed_job(3), [block_of_faces(3)], tmp_path, may_publish=another_does_it if before else lambda: True)
    assert [path.name for path in tmp_path.iterdir()] == ["j"]
    assert (tmp_path / "j" / "summary.json").is_file()


def test_other_jobs_scratch_folders_are_left_alone(tmp_path: Path) -> None:
    """Also of a job whose name begins with this one's, or of another server's job of the name; this job's own leftovers
    go.
    """
    uid = sealed_job(3).uid[:8]
    others = {f".j.2.{uid}-5.making", ".j.making", f".j.{uid}-5.making.making", f".k.{uid}-5.making"}
    others |= {".j.0123abcd-5.making"}
    for name in (*others, f".j.{uid}-5.making"):
        (tmp_path / name).mkdir()
    write_job(sealed_job(3), [block_of_faces(3)], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == others | {"j"}


def test_nothing_is_removed_where_the_results_are_anothers(tmp_path: Path) -> None:
    """A copy in the making is that other job's."""
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / "dear.txt").touch()
    left = {"j", f".j.{sealed_job(3).uid[:8]}-5.making", ".j.replaced"}
    for name in left - {"j"}:
        (tmp_path / name).mkdir()
    with pytest.raises(ResultsError):
        write_job(sealed_job(3), [block_of_faces(3)], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == left


def test_a_replacement_cut_short_is_completed(tmp_path: Path) -> None:
    """After a kill between the two renames, the earlier results are restored, even if writing the new copy fails."""
    write_job(sealed_job(3), [block_of_faces(3)], tmp_path)
    (tmp_path / "j").rename(tmp_path / ".j.replaced")
    with pytest.raises(ResultsError):
        write_job(sealed_job(3), [block_of_faces(2)], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["j"]
    write_job(sealed_job(3), [block_of_faces(3)], tmp_path)
    (tmp_path / ".j.replaced").mkdir()  # killed after the second: only the removal is missing
    write_job(sealed_job(3), [block_of_faces(3)], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["j"]


def test_a_link_under_the_jobs_name_is_replaced_every_time(tmp_path: Path) -> None:
    """Results that were moved to another disk and linked stay there, and no hidden link prevents the next time."""
    results_dir, other = tmp_path / "results", tmp_path / "other"
    for _ in range(2):
        write_job(sealed_job(3), [block_of_faces(3)], results_dir)
        shutil.rmtree(other, ignore_errors=True)
        (results_dir / "j").rename(other)
        (results_dir / "j").symlink_to(other)
        write_job(sealed_job(3), [block_of_faces(3)], results_dir)
        assert [path.name for path in results_dir.iterdir()] == ["j"]
        assert not (results_dir / "j").is_symlink() and (other / "embeddings.npy").is_file()


def test_a_file_system_that_cannot_sync_folders_takes_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems answer EINVAL for a folder. For a file, an error stays an error."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_job(sealed_job(3), [block_of_faces(3)], tmp_path)
    assert (tmp_path / "j" / "summary.json").is_file()

    def refuse(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ResultsError, match="Invalid argument"):
        write_job(sealed_job(3), [block_of_faces(3)], tmp_path)
