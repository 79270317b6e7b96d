"""Building a report: the file, its errors, and the commands that write it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from shared.domain.errors import ResultsError
from shared.report.build import build_report
from tests.support.report_pages import picture_of, save_image
from tests.support.results_folders import make_results, people, read_page
from tests.support.stage import ROOT


def test_the_same_folder_gives_the_same_page(tmp_path: Path) -> None:
    """The page is the same to the byte, with pictures, and no other file stays in the folder."""
    paths = [f"{k}.jpg" for k in range(12)]
    for path in paths:
        save_image(tmp_path / "images" / path)
    folder = make_results(tmp_path / "j", paths, people(3, 4), photos=tmp_path / "images")
    before = {path.name for path in folder.iterdir()}
    first = build_report(folder, tmp_path / "images").read_bytes()
    assert build_report(folder, tmp_path / "images").read_bytes() == first
    assert {path.name for path in folder.iterdir()} == before | {"report.html"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "faces.csv").unlink(), "faces.csv is missing"),
        (lambda folder: (folder / "summary.json").write_text("{"), "are damaged: "),
        (lambda folder: np.save(folder / "embeddings.npy", people(1, 3)), "faces.csv has 2 faces"),
        (lambda folder: np.save(folder / "distances.npy", np.zeros((2, 3), np.float32)), r"distances.npy is \[2, 3\]"),
        (lambda folder: (folder / "images.csv").write_text("path\nx\n"), "are damaged: "),
    ],
)
def test_a_damaged_folder_is_named(tmp_path: Path, damage: object, message: str) -> None:
    """ResultsError is raised, and the old report stays."""
    folder = make_results(tmp_path / "j", ["a.jpg", "b.jpg"], people(1, 2))
    (folder / "report.html").write_text("before")
    damage(folder)  # type: ignore[operator]
    with pytest.raises(ResultsError, match=message):
        build_report(folder, None)
    assert (folder / "report.html").read_text() == "before"


def test_the_command_of_the_aggregator(tmp_path: Path) -> None:
    """It prints the path, or one line with exit code 1 for another folder. It loads neither torch nor queues."""
    folder = make_results(tmp_path / "j", ["a.jpg", "b.jpg"], people(1, 2))
    command = [
        sys.executable,
        "-m",
        "shared.report",
        str(folder),
        "--images",
        str(tmp_path / "none"),
        "--thumbnail-seconds",
        "5",
    ]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and done.stdout == f"{folder}/report.html\n" and time.perf_counter() - started < 20
    done = subprocess.run([*command[:3], str(tmp_path)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1 and "summary.json is missing" in done.stderr and "Traceback" not in done.stderr
    code = "import sys, shared.report.build; print(json.dumps(list(sys.modules)))"
    loaded = json.loads(
        subprocess.run([sys.executable, "-c", "import json;" + code], capture_output=True, text=True, cwd=ROOT).stdout
    )
    assert not {"torch", "celery", "redis", "worker", "producer"} & {name.split(".")[0] for name in loaded}


def test_the_command_of_the_producer(tmp_path: Path) -> None:
    """It finds the images in the job's folder or in the given one, and says if they are not there."""
    save_image(tmp_path / "photos" / "a.jpg")
    photos = tmp_path / "photos"
    make_results(tmp_path / "results" / "j", ["a.jpg", "b.jpg"], people(1, 2), photos=photos, source=str(photos))
    command = [sys.executable, "-m", "producer", "report", "j", "--results", str(tmp_path / "results")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    written = tmp_path / "results" / "j" / "report.html"
    assert done.returncode == 0 and done.stdout.strip() == str(written) and not done.stderr
    assert picture_of(read_page(written), 0) is not None
    (tmp_path / "photos").rename(tmp_path / "moved")
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "Give their folder with --images DIR" in done.stderr
    assert picture_of(read_page(written), 0) is None
    done = subprocess.run([*command, "--images", str(tmp_path / "moved")], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and picture_of(read_page(written), 0) is not None
    done = subprocess.run([*command, "--images", str(tmp_path / "photos")], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "is not a folder" in done.stderr
