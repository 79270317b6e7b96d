"""Names and corrections after an update of a folder, with real workers."""

import csv
import io
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from producer.cli.app import main
from shared.domain.paths import ShownPath
from shared.results.corrections import Correction, FaceReference, Kind
from shared.results.people_file import write_people
from tests.support.commands import run_in
from tests.support.results import rows_of

_JOB = ("images", "--results", "out", "--job", "photos", "--workers", 1)
_BOX = ("x1", "y1", "x2", "y2")


def _faces(results: Path) -> dict[str, FaceReference]:
    """The face of each image, as a report would save it."""
    digests = {row["image"]: row["blake2b"] for row in rows_of(results / "digests.csv")}
    found = {}
    for row in rows_of(results / "faces.csv"):
        left, top, right, bottom = (float(row[side]) for side in _BOX)
        found[row["path"]] = FaceReference(
            ShownPath(row["path"]), (left, top, right, bottom), digests[row["image"]], int(row["face"])
        )
    return found


def _people(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[dict[str, tuple[str, str]], str]:
    """By image what `groups --people --csv` prints of its face, and what it says."""
    command = ["producer", "groups", "photos", "--csv", "--people", "people.csv", "--results", "out"]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    rows = csv.DictReader(io.StringIO(said.out))
    return {row["path"]: (row["person"], row["status"]) for row in rows}, said.err


def test_names_survive_an_update(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A photo is renamed, and another one has its name now; the metadata of a third has changed. New photos are
    suggested to people with names, and what was refused stays refused, although the photo that it was refused by is
    gone.
    """
    images = tmp_path / "images"
    images.mkdir()
    for name, source in (
        ("a.jpg", "hopper/as-is.jpg"),
        ("refused.jpg", "hopper/brighter.jpg"),
        ("c.jpg", "collins/as-is.jpg"),
        ("gone.jpg", "hopper/gray.jpg"),
        ("hidden.jpg", "collins/darker.jpg"),
    ):
        shutil.copyfile(sample / source, images / name)
    done = run_in(tmp_path, *_JOB)
    assert done.returncode == 0, done.stderr
    faces = _faces(tmp_path / "out" / "photos")
    write_people(
        tmp_path / "people.csv",
        [
            Correction(Kind.PERSON, faces["a.jpg"], "Grace"),
            Correction(Kind.PERSON, faces["gone.jpg"], "Grace"),
            Correction(Kind.DIFFERENT, faces["refused.jpg"], "", faces["gone.jpg"]),
            Correction(Kind.PERSON, faces["c.jpg"], "Eileen"),
            Correction(Kind.HIDDEN, faces["hidden.jpg"]),
        ],
    )
    before, said = _people(tmp_path, monkeypatch, capsys)
    assert before == {
        "a.jpg": ("Grace", "confirmed"),
        "gone.jpg": ("Grace", "confirmed"),
        "refused.jpg": ("", ""),
        "c.jpg": ("Eileen", "confirmed"),
    }
    assert "1 face hidden." in said and "not in this job" not in said

    (images / "gone.jpg").unlink()
    (images / "a.jpg").rename(images / "z.jpg")
    shutil.copyfile(sample / "collins" / "mirrored.jpg", images / "a.jpg")
    shutil.copyfile(sample / "hopper" / "smaller.jpg", images / "new.jpg")
    with Image.open(images / "c.jpg") as image:
        image.save(images / "c.jpg", quality="keep", comment="another file")
    (images / "refused.jpg").rename(images / "b.jpg")
    done = run_in(tmp_path, *_JOB)
    assert done.returncode == 0, done.stderr
    assert "photos: 6 images, 3 known (2 moved), 1 new, 2 changed, 1 gone" in done.stderr
    after, said = _people(tmp_path, monkeypatch, capsys)
    assert after == {
        "z.jpg": ("Grace", "confirmed"),
        "new.jpg": ("Grace", "suggested"),
        "b.jpg": ("", ""),
        "c.jpg": ("Eileen", "confirmed"),
        "a.jpg": ("Eileen", "suggested"),
    }
    assert "1 face hidden." in said
    assert "2 of 5 corrections name faces that are not in this job, the first: people.csv, line 3: gone.jpg" in said
