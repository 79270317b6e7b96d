"""Archives as sources of a job, end to end: the same results as from the unpacked files, and a row for each damage."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shared.store.jobs import JobRecord
from tests.support.archives import archive_bytes, tar_bytes, zip_bytes
from tests.support.commands import environment_of, run_in
from tests.support.faulty_worker import MARKS
from tests.support.results import result_bytes, rows_of
from tests.support.results_folders import read_page
from tests.support.stage import Stage, wait_until


@pytest.fixture(scope="module")
def members(sample: Path) -> dict[str, bytes]:
    """The files of the sample folder, in the order of its walk."""
    files = sorted((path for path in sample.rglob("*") if path.is_file()), key=lambda path: (len(path.parts), path))
    return {path.relative_to(sample).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def finished(members: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a folder with archives of every kind, some of them damaged, run once for this module."""
    folder = tmp_path_factory.mktemp("archives")
    images = folder / "images"
    (images / "below").mkdir(parents=True)
    (images / "a.jpg").write_bytes(members["hopper/as-is.jpg"])
    for number, suffix in enumerate((".tar", ".tar.gz", ".tar.zst", ".zip")):
        (images / "below" / f"{number}{suffix}").write_bytes(archive_bytes(suffix, members))
    few = {name: data for name, data in members.items() if name.startswith("hopper/")}
    whole = tar_bytes(few)
    (images / "cut.tar").write_bytes(whole[: len(whole) // 2])
    (images / "cut.zip").write_bytes(zip_bytes(few)[:-500])
    (images / "no.zip").write_text("no zip")
    (images / "gone.tar").symlink_to("nowhere.tar")
    (images / "outside.tar").symlink_to(folder / "outside.tar")
    (folder / "outside.tar").write_bytes(whole)
    (images / "large.tar").write_bytes(tar_bytes({"large.jpg": bytes(3 << 20), "small.jpg": few["hopper/as-is.jpg"]}))
    (images / "names.tar").write_bytes(tar_bytes([("../x.jpg", b"1"), ("a.jpg", b"2"), ("a.jpg", b"3")]))
    done = run_in(
        folder,
        "images",
        "--archives",
        *("--results", "out", "--job", "all", "--workers", 2, "--batch-size", 5),
        FACEQUEUE_MAX_IMAGE_MIB="2",
    )
    assert done.returncode == 3, done.stderr
    return folder / "out" / "all"


def _embeddings_below(results: Path, prefix: str) -> dict[str, bytes]:
    embeddings = np.load(results / "embeddings.npy")
    return {
        row["path"].removeprefix(prefix): embeddings[int(row["face"])].tobytes()
        for row in rows_of(results / "faces.csv")
        if row["path"].startswith(prefix)
    }


def test_members_give_the_same_as_their_files(finished: Path, members: dict[str, bytes]) -> None:
    """In the archive's order and to the last bit, for every kind of archive."""
    rows = rows_of(finished / "images.csv")
    outcomes = [
        [(row["path"].removeprefix(prefix), row["outcome"]) for row in rows if row["path"].startswith(prefix)]
        for prefix in ("below/0.tar/", "below/1.tar.gz/", "below/2.tar.zst/", "below/3.zip/")
    ]
    assert [name for name, _ in outcomes[0]] == list(members)
    assert outcomes[0] == outcomes[1] == outcomes[2] == outcomes[3]
    faces = [_embeddings_below(finished, f"below/{name}/") for name in ("0.tar", "1.tar.gz", "2.tar.zst", "3.zip")]
    assert faces[0] == faces[1] == faces[2] == faces[3] and len(faces[0]) > 10
    (alone,) = _embeddings_below(finished, "a.jpg").values()
    assert faces[0]["hopper/as-is.jpg"] == alone


def test_each_damage_is_a_row_and_costs_no_neighbor(finished: Path) -> None:
    """An archive cut short gives its members up to there, and one row for itself."""
    rows = {row["path"]: row for row in rows_of(finished / "images.csv")}
    for name in ("cut.tar", "cut.zip"):
        cut = [row["outcome"] for path, row in rows.items() if path.startswith(f"{name}/")]
        assert len(cut) > 2 and set(cut) == {"ok"}
    errors = {path: row["error"] for path, row in rows.items() if "/" not in path and row["outcome"] == "unreadable"}
    assert errors.keys() == {"cut.tar", "cut.zip", "no.zip", "gone.tar", "outside.tar"}
    assert errors["cut.tar"].startswith("cut short in the middle of hopper/")
    assert errors["cut.zip"].startswith("cut short: the directory at a zip's end is missing")
    assert errors["no.zip"] == "not a tar or zip"
    assert "No such file" in errors["gone.tar"]
    assert errors["outside.tar"] == "leads out of the data root"
    assert (rows["large.tar/large.jpg"]["outcome"], rows["large.tar/small.jpg"]["outcome"]) == ("too_large", "ok")
    assert [path for path in rows if path.startswith("names.tar")] == [
        "names.tar/__/x.jpg",
        "names.tar/a.jpg",
        "names.tar/a#3.jpg",
    ]


def test_every_face_has_its_picture(finished: Path) -> None:
    """The workers cut them while they ran, and `report` cuts them from the archives. Nothing is unpacked."""
    folder = finished.parent.parent
    faces = len(rows_of(finished / "faces.csv"))
    assert _pictures(finished) == faces
    (finished / "report.html").unlink()

    again = subprocess.run(
        [sys.executable, "-m", "producer", "report", "all", "--results", "out"],
        env=environment_of(folder),
        capture_output=True,
        text=True,
        timeout=100,
        cwd=folder,
    )
    assert again.returncode == 0, again.stderr
    assert _pictures(finished) == faces
    assert not [path for path in folder.rglob("*.jpg") if path.name != "a.jpg"]


def _pictures(results: Path) -> int:
    page = read_page(results / "report.html")
    assert "No picture" not in page.text
    return len({str(image.attributes["alt"]) for image in page.all("img") if "Face" in str(image.attributes["alt"])})


def test_retry_reads_failed_members_again(finished: Path, members: dict[str, bytes]) -> None:
    """By their names: the archive may have been replaced. The row of one that is whole now says so."""
    folder = finished.parent.parent
    whole = tar_bytes({name: data for name, data in members.items() if name.startswith("hopper/")})
    (folder / "images" / "cut.tar").write_bytes(whole)
    fixed = {
        name: members["hopper/as-is.jpg"] if name == "damaged/truncated.jpg" else data for name, data in members.items()
    }
    for number, suffix in enumerate((".tar", ".tar.gz", ".tar.zst", ".zip")):
        (folder / "images" / "below" / f"{number}{suffix}").write_bytes(archive_bytes(suffix, fixed))
    done = run_in(
        folder,
        "images",
        "--archives",
        *("--results", "out", "--job", "all", "--workers", 1, "--batch-size", 5, "--retry"),
        FACEQUEUE_MAX_IMAGE_MIB="2",
    )
    assert done.returncode == 3, done.stderr
    rows = {row["path"]: row for row in rows_of(finished / "images.csv")}
    for name in ("0.tar", "1.tar.gz", "2.tar.zst", "3.zip"):
        assert rows[f"below/{name}/damaged/truncated.jpg"]["outcome"] == "ok"
    assert "can be now: process it as another job" in rows["cut.tar"]["error"]
    assert rows["no.zip"]["error"] == "not a tar or zip"


def test_an_archive_is_given_as_a_folder(sample: Path, members: dict[str, bytes], tmp_path: Path) -> None:
    """Alone or in a list; what is no archive is refused in one line, and so is --inline."""
    few = {name: data for name, data in members.items() if name.startswith("collins/")}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "shard.zip").write_bytes(zip_bytes(few))
    os.utime(tmp_path / "data" / "shard.zip", (1e9, 1e9))  # one that has just changed could change again unnoticed
    (tmp_path / "data" / "b.jpg").write_bytes(members["hopper/as-is.jpg"])
    (tmp_path / "data" / "notes.txt").write_text("nothing")
    done = run_in(tmp_path, "data/shard.zip", "--results", "out", "--job", "zip", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert [row["path"] for row in rows_of(tmp_path / "out" / "zip" / "images.csv")] == [f"shard.zip/{n}" for n in few]
    again = run_in(tmp_path, "data/shard.zip", "--results", "out", "--job", "zip", "--workers", 1)
    assert (again.returncode, f"{len(few)} known, 0 new, 0 gone" in again.stderr) == (0, True), again.stderr
    (tmp_path / "data" / "other.tar.gz").write_bytes(archive_bytes(".tar.gz", few))
    chosen = ["other.tar.gz/collins/as-is.jpg", "other.tar.gz/gone.jpg", "other.tar.gz/collins/gray.jpg"]
    (tmp_path / "list").write_text("\n".join(["b.jpg", "shard.zip", "gone.zip", *chosen]))
    listed = run_in(tmp_path, "data", "--files", "list", "--archives", "--results", "out", "--job", "list")
    assert listed.returncode == 3, listed.stderr
    rows = rows_of(tmp_path / "out" / "list" / "images.csv")
    assert [row["path"] for row in rows] == ["b.jpg", *(f"shard.zip/{name}" for name in few), "gone.zip", *chosen]
    assert [row["outcome"] for row in rows[-4:]] == ["unreadable", "ok", "unreadable", "ok"]
    (tmp_path / "empty.tar").write_bytes(tar_bytes({}))
    for name, reason in (
        ("data/notes.txt", "neither a folder nor an archive"),
        ("empty.tar", "has no files"),
    ):
        refused = run_in(tmp_path, name, "--results", "out")
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
        assert reason in refused.stderr


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
def test_a_killed_producer_goes_on_inside_an_archive(
    stage: Stage, members: dict[str, bytes], tmp_path: Path, suffix: str
) -> None:
    """SIGKILL between two batches of an archive changes no result. A changed archive costs its own members only."""
    images = tmp_path / "images"
    images.mkdir()
    few = {name: data for name, data in members.items() if name.startswith(("hopper/", "nobody/"))}
    (images / f"a{suffix}").write_bytes(archive_bytes(suffix, few))
    (images / "b.jpg").write_bytes(members["hopper/as-is.jpg"])
    (images / f"c{suffix}").write_bytes(archive_bytes(suffix, {"x.jpg": members["hopper/gray.jpg"]}))
    root = {"FACEQUEUE_DATA_ROOT": str(tmp_path)}
    whole = ("enqueue", str(images), "--archives", "--batch-size", "2")
    inline = stage.producer(*whole, "--inline", **root)
    assert (inline.returncode, "cannot be sent with --inline" in inline.stderr) == (2, True), inline.stderr
    producer = stage.spawn("producer", *whole, "--job", "cut", log="p.log", FACEQUEUE_WINDOW_BATCHES="2", **root)
    wait_until(lambda: "batches are waiting" in stage.log("p.log"), 30, "the window is full")
    producer.kill()
    producer.wait()
    stage.worker("--concurrency", "2", **root)
    again = stage.producer(*whole, "--job", "cut", "--wait", **root)
    assert (again.returncode, "Resuming job cut" in again.stderr) == (0, True), again.stderr
    calm = stage.producer(*whole, "--job", "calm", "--wait", **root)
    assert calm.returncode == 0, calm.stderr
    assert len(rows_of(stage.results / "cut" / "images.csv")) == len(few) + 2
    assert result_bytes(stage.results / "cut") == result_bytes(stage.results / "calm")
    assert json.loads((stage.results / "cut" / "summary.json").read_text())["outcomes"].get("unreadable") is None


def test_an_archive_that_changes_before_it_is_read(stage: Stage, members: dict[str, bytes], tmp_path: Path) -> None:
    """Its members have the reason, and no bytes of the other archive are taken for them."""
    images = tmp_path / "images"
    images.mkdir()
    few = {name: data for name, data in members.items() if name.startswith("hopper/")}
    (images / "a.tar").write_bytes(tar_bytes(few))
    (images / "b.tar").write_bytes(tar_bytes({"x.jpg": members["hopper/gray.jpg"]}))
    root = {"FACEQUEUE_DATA_ROOT": str(tmp_path)}
    done = stage.producer("enqueue", str(images), "--archives", "--job", "j", **root)
    assert done.returncode == 0, done.stderr
    os.utime(images / "a.tar", (1, 1))
    shutil.copyfile(images / "b.tar", images / "c.tar")  # not part of the job
    stage.worker("--concurrency", "1", **root)
    done = stage.producer("watch", "j")
    assert done.returncode == 3, done.stderr
    rows = rows_of(stage.results / "j" / "images.csv")
    assert {row["error"] for row in rows if row["path"].startswith("a.tar")} == {
        "a.tar has changed since the job was made"
    }
    assert [row["outcome"] for row in rows if not row["path"].startswith("a.tar")] == ["ok"]


def test_a_member_that_crashes_its_process_costs_no_neighbor(
    stage: Stage, members: dict[str, bytes], tmp_path: Path
) -> None:
    """Nor does a worker that is killed inside a compressed archive: the batch is sent again with its places."""
    images = tmp_path / "images"
    images.mkdir()
    data = members["hopper/smaller.jpg"]
    few = {f"{k}.jpg": data + (MARKS["segv"] if k == 5 else MARKS["slow"] if k == 9 else b"%d" % k) for k in range(12)}
    (images / "a.tar.gz").write_bytes(archive_bytes(".tar.gz", few))
    root = {"FACEQUEUE_DATA_ROOT": str(tmp_path)}

    def start() -> int:
        ready = stage.log("worker.log").count(" ready.")
        faulty = ("tests.support.faulty_worker", "--concurrency", "1")
        process = stage.spawn(*faulty, log="worker.log", **root)
        wait_until(lambda: stage.log("worker.log").count(" ready.") > ready, 60, "worker ready")
        return process.pid

    done = stage.producer("enqueue", str(images), "--archives", "--job", "j", "--batch-size", "4", **root)
    assert done.returncode == 0, done.stderr
    worker = start()
    record = JobRecord(stage.client, "j")
    wait_until(lambda: record.load().images_done >= 4, 60, "the first batch is done")
    os.killpg(worker, signal.SIGKILL)
    start()
    done = stage.producer("watch", "j")
    assert done.returncode == 3, done.stderr
    rows = rows_of(stage.results / "j" / "images.csv")
    assert [row["path"] for row in rows] == [f"a.tar.gz/{name}" for name in few]
    assert {k: row["outcome"] for k, row in enumerate(rows) if row["outcome"] != "ok"} == {5: "crashed"}
    embeddings = np.load(stage.results / "j" / "embeddings.npy")
    assert len({row.tobytes() for row in embeddings}) == 1
