"""`enqueue --inline`: workers without access to the images give the same results."""

import shutil
from pathlib import Path

from PIL import Image

from shared.store.keys import PREFIX
from tests.support.results import result_bytes
from tests.support.results_folders import read_page
from tests.support.stage import Stage, wait_until


def test_images_through_the_server(stage: Stage, sample: Path, tmp_path: Path) -> None:
    """The bytes are those of reading from disk, with every kind of error. No image stays, and a window bounds them."""
    images = tmp_path / "images"
    images.mkdir()
    for number, path in enumerate(sorted(path for path in sample.rglob("*") if path.is_file())):
        (images / f"{number:02}-{path.name}").write_bytes(path.read_bytes())
    (images / "outside.jpg").symlink_to(sample / "hopper" / "as-is.jpg")
    (images / "circle.jpg").symlink_to("circle.jpg")
    (images / "nothing.jpg").symlink_to("gone.jpg")
    (images / "album").symlink_to(sample / "hopper")
    (images / "empty.jpg").touch()
    with (images / "large.jpg").open("wb") as file:
        file.truncate(3 * 2**20)
    limits = {"FACEQUEUE_MAX_IMAGE_MIB": "2", "FACEQUEUE_INLINE_WINDOW_MIB": "1"}
    root = {"FACEQUEUE_DATA_ROOT": str(tmp_path / "nowhere")} | limits
    enqueuing = stage.spawn(
        "producer", "enqueue", str(images), "--inline", "--job", "sent", "--batch-size", "3", log="p.log", **root
    )
    wait_until(lambda: "MiB of images are on the server" in stage.log("p.log"), 30, "the window is full")
    assert enqueuing.poll() is None
    stage.worker("--concurrency", "1", **root)
    assert enqueuing.wait(60) == 0, stage.log("p.log")
    done = stage.producer("watch", "sent")
    assert done.returncode == 3, done.stderr
    calm = stage.producer(
        "run", str(images), "--results", str(stage.results), "--job", "calm", "--workers", "1", **limits
    )
    assert calm.returncode == 3, calm.stderr
    assert result_bytes(stage.results / "sent") == result_bytes(stage.results / "calm")
    left = {key.decode() for key in stage.client.scan_iter(f"{PREFIX}job:sent*")}
    assert left == {f"{PREFIX}job:sent", f"{PREFIX}job:sent:failed"}
    (images / "empty.jpg").write_bytes((sample / "hopper" / "smaller.jpg").read_bytes())
    again = stage.producer("retry", "sent", **root)
    assert again.returncode == 3, again.stderr
    rows = (stage.results / "sent" / "images.csv").read_text()
    assert ",empty.jpg,ok," in rows


def test_the_report_shows_no_file_of_the_aggregators_own(stage: Stage, sample: Path, tmp_path: Path) -> None:
    """Files at the same paths in its data root are different ones. `report` uses the folder with the images."""
    images, other = tmp_path / "images", tmp_path / "other"
    for folder in (images, other):
        folder.mkdir()
        shutil.copy(sample / "hopper" / "as-is.jpg", folder / "b.jpg")
    shutil.copy(sample / "hopper" / "darker.jpg", images / "a.jpg")
    with Image.open(images / "a.jpg") as mine, Image.open(sample / "collins" / "as-is.jpg") as theirs:
        theirs.resize(mine.size).save(other / "a.jpg")
    stage.worker("--concurrency", "1", FACEQUEUE_DATA_ROOT=str(other))
    done = stage.producer("enqueue", str(images), "--inline", "--wait", "--job", "sent")
    assert done.returncode == 0, done.stderr
    report = stage.results / "sent" / "report.html"
    assert "No picture of 2 faces" in read_page(report).text
    again = stage.producer("report", "sent")
    assert again.returncode == 0, again.stderr
    shown = [str(e.attributes["alt"]) for e in read_page(report).all("img")]
    assert {"Face 0, in a.jpg", "Face 1, in b.jpg"} <= set(shown)
    moved = stage.producer("report", "sent", "--images", str(other))
    assert moved.returncode == 0, moved.stderr
    shown = [str(e.attributes["alt"]) for e in read_page(report).all("img")]
    assert "Face 0, in a.jpg" not in shown and "Face 1, in b.jpg" in shown


def test_a_cancelled_jobs_images_go_too(stage: Stage, sample: Path) -> None:
    """No image stays on the server."""
    done = stage.producer("enqueue", str(sample / "hopper"), "--inline", "--job", "gone", "--batch-size", "4")
    assert done.returncode == 0, done.stderr
    assert list(stage.client.scan_iter(f"{PREFIX}job:gone:bytes:*"))
    assert stage.producer("cancel", "gone").returncode == 0
    assert {key.decode() for key in stage.client.scan_iter(f"{PREFIX}job:gone*")} == {f"{PREFIX}job:gone"}
