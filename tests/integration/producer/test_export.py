"""`export` as a user runs it. exiftool, a program of others, reads where the regions are."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageOps

from producer.cli.app import cli
from producer.cli.errors import exit_code_after
from shared.config.exit_codes import ExitCode
from tests.support.commands import environment_of
from tests.support.results import rows_of
from tests.support.turned_photos import FACE, ORIENTATIONS, UPRIGHT, red_box, results_of_photos, save_people, save_photo
from worker.vision.decode import Limits, decode

needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
PATHS = [f"turned {number}/a <b>&'🙂.jpg" for number in ORIENTATIONS]
NAMES = [f'Åsa <&> "O\'Neil" 🙂 {number}' for number in ORIENTATIONS]


class Done(NamedTuple):
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


class Stage:
    """Photos of all orientations, the results of a job with them, and the names of their faces."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.photos, self.sidecars = folder, folder / "photos", folder / "sidecars"
        for path, number in zip(PATHS, ORIENTATIONS, strict=True):
            save_photo(self.photos / path, number)
        results_of_photos(folder / "results" / "job", self.photos, PATHS)
        results_of_photos(folder / "results" / "cloud", self.photos, PATHS[:1], source="s3://bucket/photos")
        self.people = save_people(folder / "people.csv", zip(PATHS, NAMES, strict=True))

    def run(self, *arguments: object) -> Done:
        """Runs a command of the producer in this process, which saves its start. Relative paths are not possible."""
        given = [*map(str, arguments), "--results", str(self.folder / "results")]
        output, errors = io.StringIO(), io.StringIO()
        with redirect_stdout(output), redirect_stderr(errors):
            code = exit_code_after(lambda: cli(given, standalone_mode=False))
        return Done(code, output.getvalue(), errors.getvalue())

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Bytes and times of the photos' folder."""
        files = (path for path in self.photos.rglob("*") if path.is_file())
        return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stage, after `export xmp`."""
    stage = Stage(tmp_path_factory.mktemp("export"))
    before = stage.files()
    command = [
        sys.executable,
        "-m",
        "producer",
        "export",
        "xmp",
        "job",
        "--people",
        "people.csv",
        "--to",
        "sidecars",
        "--results",
        "results",
    ]
    done = subprocess.run(
        command, env=environment_of(stage.folder), capture_output=True, text=True, timeout=120, cwd=stage.folder
    )
    assert (done.returncode, done.stderr) == (ExitCode.FINISHED, ""), done.stderr
    assert "8 sidecars written" in done.stdout
    assert stage.files() == before
    yield stage


def _tags(folder: Path, kind: str) -> dict[str, dict[str, Any]]:
    """What exiftool reads from the files with this extension: by path below the folder."""
    command = ["exiftool", "-json", "-struct", "-n", "-r", "-ext", kind, "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=120)
    return {os.path.normpath(found["SourceFile"]): found for found in json.loads(done.stdout)}


def _check_regions(tags: dict[str, Any], photo: Path, name: str) -> None:
    """The regions that exiftool has read are where the photo is red: as it is stored, and as it is turned by EXIF."""
    with Image.open(photo) as stored:
        width, height = stored.size
        info, (region,) = tags["RegionInfo"]["AppliedToDimensions"], tags["RegionInfo"]["RegionList"]
        assert info == {"W": width, "H": height, "Unit": "pixel"}
        assert (region["Name"], region["Type"], region["Area"]["Unit"]) == (name, "Face", "normalized")
        x, y, w, h = (float(region["Area"][side]) for side in "XYWH")
        sides = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]) * [width, height, width, height]
        assert np.abs(sides - red_box(stored)).max() < 0.01
        (microsoft,) = tags["RegionInfoMP"]["Regions"]
        left, top, w, h = (float(side) for side in microsoft["Rectangle"].split(","))
        corners = np.array([left, top, left + w, top + h]) * [width, height, width, height]
        assert microsoft["PersonDisplayName"] == name
        assert np.abs(corners - sides).max() < 0.01
        assert tags["Orientation"] == stored.getexif().get(0x0112)
        drawn = Image.new("RGB", stored.size, "white")
        drawn.paste("red", tuple(sides.round().astype(int)))
        drawn.getexif()[0x0112] = tags["Orientation"]
        assert red_box(ImageOps.exif_transpose(drawn)) == FACE


def test_boxes_are_in_the_pixels_that_workers_see(stage: Stage) -> None:
    """The decoder of the workers turns each of the photos so that its face has the same box."""
    for path in PATHS:
        image = decode((stage.photos / path).read_bytes(), Limits(2**20, 10**6))
        assert (image.size, red_box(image)) == (UPRIGHT, FACE)


@needs_exiftool
def test_exiftool_reads_regions_where_the_faces_are(stage: Stage) -> None:
    """This holds for all eight orientations, and for names with quotes, ampersands and emoji."""
    found = _tags(stage.sidecars, "xmp")
    assert len(found) == len(PATHS)
    for path, name in zip(PATHS, NAMES, strict=True):
        _check_regions(found[f"{path}.xmp"], stage.photos / path, name)


@needs_exiftool
def test_exiftool_puts_regions_into_copies_of_the_photos(stage: Stage, tmp_path: Path) -> None:
    """The command in docs/export.md, for programs that read no sidecars of JPEG files. No pixel changes."""
    copies = tmp_path / "copies"
    shutil.copytree(stage.photos, copies)
    command = ["exiftool", "-q", "-r", "-ext", "jpg", "-overwrite_original", "-tagsfromfile"]
    command += [f"{stage.sidecars}/%d%f.%e.xmp", "-RegionInfo", "-RegionInfoMP", "."]
    subprocess.run(command, cwd=copies, check=True, timeout=120)
    found = _tags(copies, "jpg")
    for path, name in zip(PATHS, NAMES, strict=True):
        _check_regions(found[path], stage.photos / path, name)
        with Image.open(copies / path) as changed, Image.open(stage.photos / path) as before:
            assert changed.tobytes() == before.tobytes()


def test_names_come_back_from_sidecars(stage: Stage) -> None:
    """`--people` with the folder of sidecars says the same as with `people.csv`, in every command."""
    tables = []
    for people in (stage.people, stage.sidecars):
        done = stage.run("export", "csv", "job", "--people", people)
        assert done.returncode == ExitCode.FINISHED, done.stderr
        tables.append(list(csv.DictReader(done.stdout.splitlines())))
    assert "8 sidecars name 8 faces" in done.stderr
    assert tables[0] == tables[1]
    assert [row["path"] for row in tables[0]] == PATHS
    assert [row["person"] for row in tables[0]] == NAMES
    assert {row["status"] for row in tables[0]} == {"confirmed"}
    saved = stage.folder / "saved.csv"
    done = stage.run("export", "people", "job", "--people", stage.sidecars, "--to", saved)
    assert done.returncode == ExitCode.FINISHED, done.stderr
    assert [row["person"] for row in rows_of(saved)] == NAMES
    done = stage.run("groups", "job", "--people", saved, "--csv")
    assert done.returncode == ExitCode.FINISHED, done.stderr
    assert sorted(row["person"] for row in csv.DictReader(done.stdout.splitlines())) == sorted(NAMES)


def test_tables_go_to_files(stage: Stage, tmp_path: Path) -> None:
    """JSON has the values of CSV; a file that is there is not replaced unasked."""
    for form in ("csv", "json"):
        assert stage.run("export", form, "job", "--to", tmp_path / f"faces.{form}").returncode == ExitCode.FINISHED
    rows = rows_of(tmp_path / "faces.csv")
    found = json.loads((tmp_path / "faces.json").read_text())
    assert [row["path"] for row in found] == [row["path"] for row in rows] == PATHS
    assert [row["x1"] for row in found] == [float(row["x1"]) for row in rows]
    again = stage.run("export", "csv", "job", "--to", tmp_path / "faces.csv")
    assert again.returncode == ExitCode.WRONG_USAGE
    assert again.stderr.count("\n") == 1
    assert "--overwrite" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["xmp", "job"], "needs --people"),
        (["people", "job", "--people", "{}/sidecars", "--to", "{}/people.csv"], "--overwrite"),
        (["xmp", "job", "--people", "{}/people.csv", "--to", "{}/photos/new"], "folder of the images"),
        (["csv", "job", "--to", "{}/results/job/faces.csv", "--overwrite"], "results folder"),
        (["xmp", "job", "--people", "{}/photos", "--to", "{}/new"], "no readable sidecar"),
        (["xmp", "job", "--people", "{}/nobody.csv", "--to", "{}/new"], "names no face"),
        (["xmp", "cloud", "--people", "{}/people.csv", "--to", "{}/new"], "--images DIR"),
        (["csv", "job", "--suggested"], "for xmp"),
        (["csv", "job", "--lines"], "for json"),
    ],
)
def test_what_a_user_can_cause_is_one_line(stage: Stage, arguments: list[str], reason: str) -> None:
    """Nothing is written, and the exit code says that the usage was wrong."""
    save_people(stage.folder / "nobody.csv", [])
    done = stage.run("export", *(argument.format(stage.folder) for argument in arguments))
    assert done.returncode == ExitCode.WRONG_USAGE, done.stderr
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (stage.folder / "new").exists()


@needs_exiftool
def test_names_in_the_photos_themselves_are_read(stage: Stage, tmp_path: Path) -> None:
    """digiKam writes there unless it is told to write sidecars; the photos are then not the ones of the job."""
    copies = tmp_path / "copies"
    shutil.copytree(stage.photos, copies)
    command = ["exiftool", "-q", "-r", "-ext", "jpg", "-overwrite_original", "-tagsfromfile"]
    command += [f"{stage.sidecars}/%d%f.%e.xmp", "-RegionInfo", "."]
    subprocess.run(command, cwd=copies, check=True, timeout=120)
    done = stage.run("export", "csv", "job", "--people", copies)
    assert done.returncode == ExitCode.FINISHED, done.stderr
    assert "0 sidecars and 8 photos name 8 faces" in done.stderr
    assert [row["person"] for row in csv.DictReader(done.stdout.splitlines())] == NAMES
