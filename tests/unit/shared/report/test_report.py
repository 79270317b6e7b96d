"""The report: what it says, what it escapes, and that it asks nothing of anyone."""

import base64
import csv
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.analysis.calibration import SAME_PERSON
from shared.domain.errors import ResultsError
from shared.report import page_values as model
from shared.report import thumbnails
from shared.report.build import build_report
from shared.results.digests import file_digest
from tests.support.results_folders import CONTRACT, SIZE, Page, make_results, people, read_page
from tests.support.stage import ROOT
from worker.aggregation.profile_files import copy_profiles
from worker.aggregation.retry_merge import merged_summary
from worker.aggregation.sample_files import earlier_samples, write_samples
from worker.vision.decode import Limits, decode

HOSTILE = "<script>alert(1)</script>.jpg"


def _report(folder: Path, images: Path | None = None, **options: float) -> Page:
    return read_page(build_report(folder, images, **options))


def _report_with(tmp_path: Path, paths: list[str], embeddings: np.ndarray, **values: Any) -> Page:
    """Of a job with these faces, whose images are in `tmp_path/images`."""
    photos = tmp_path / "images"
    return _report(make_results(tmp_path / "j", paths, embeddings, photos=photos, **values), photos)


def _save(path: Path, size: tuple[int, int] = SIZE, colour: str = "red", **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file)


def _picture(page: Page, face: int) -> Image.Image | None:
    shown = [e for e in page.all("img") if str(e.attributes["alt"]).startswith(f"Face {face},")]
    if not shown:
        return None
    return Image.open(io.BytesIO(base64.b64decode(str(shown[0].attributes["src"]).split(",", 1)[1])))


def test_a_job_without_faces(tmp_path: Path) -> None:
    """The page is there, says so, and offers nothing that needs faces."""
    skipped = {"image": 0, "path": "notes.txt", "outcome": "skipped", "error": "neither"}
    page = _report(make_results(tmp_path / "j", [], np.empty((0, 512), np.float32), more=[skipped], images_per_s=None))
    assert "No face was found" in page.text and "notes.txt" in page.text and "not measured" in page.text
    assert page.data == {"names": [], "threshold": SAME_PERSON, "neighbors": None, "matrix": None}


def test_one_face(tmp_path: Path) -> None:
    """Nothing to compare it with, and it is shown."""
    page = _report(make_results(tmp_path / "j", ["me.jpg"], people(1, 1)))
    assert "One face has nothing to be compared with" in page.text and "me.jpg" in page.text
    assert len(page.all("figure", class_="face")) == 1


def test_97_faces(tmp_path: Path) -> None:
    """Counts, groups, heat map, histogram, neighbors: each as brute force has it."""
    embeddings = people(24, 4)
    embeddings = np.concatenate([embeddings, people(1, 1, 9)])
    paths = [f"{k:03d}.jpg" for k in range(97)]
    bad = {"image": 97, "path": "bad.jpg", "outcome": "unreadable", "error": "damaged: truncated"}
    none = {"image": 98, "path": "wall.jpg", "outcome": "no_face"}
    folder = make_results(tmp_path / "party", paths, embeddings, more=[bad, none])
    page = _report(folder)
    assert "24 groups of two faces and more, 1 face alone" in page.text
    assert "If all 97 faces were of different people, about 1.3 of their 4,656 pairs would be expected" in page.text
    assert "bad.jpg" in page.text and "damaged: truncated" in page.text and "No face found: 1 file" in page.text
    assert len({e.attributes["id"] for e in page.all("figure", class_="face")}) == 97
    matrix = np.load(folder / "distances.npy")
    upper = matrix[np.triu_indices(97, 1)]
    assert f"4,656 pairs, {upper.min():.2f} to {upper.max():.2f}" in page.text
    assert f"{(upper <= SAME_PERSON).sum():,} at or below {SAME_PERSON}" in page.text
    data = page.data["matrix"]
    order = np.array(data["order"])
    cells = np.frombuffer(base64.b64decode(data["cells"]), "<u2") * data["unit"]
    assert sorted(order) == list(range(97))
    assert np.abs(cells - matrix[np.ix_(order, order)][np.triu_indices(97, 1)]).max() < 1e-4
    assert len(data["squares"]) == 24 and all(end - start == 4 for start, end in data["squares"])
    near = page.data["neighbors"]
    rows = np.frombuffer(base64.b64decode(near["faces"]), "<u2").reshape(97, near["count"])
    assert (rows[0, :3] == np.argsort(matrix[0], kind="stable")[1:4]).all()
    assert len(page.source) < 3e6


def test_several_faces_of_an_image_are_told_apart(tmp_path: Path) -> None:
    """By their places among the image's faces, each with a picture of its own."""
    _save(tmp_path / "images" / "both.jpg")
    page = _report_with(tmp_path, ["both.jpg", "both.jpg", "c.jpg"], people(1, 3))
    assert page.data["names"] == ["both.jpg (1/2)", "both.jpg (2/2)", "c.jpg"]
    assert [e.attributes["alt"] for e in page.all("img")][:2] == [
        "Face 0, 1 of 2 in both.jpg",
        "Face 1, 2 of 2 in both.jpg",
    ]


def test_the_same_folder_gives_the_same_page(tmp_path: Path) -> None:
    """With pictures, byte for byte; and nothing else is left in the folder."""
    paths = [f"{k}.jpg" for k in range(12)]
    for path in paths:
        _save(tmp_path / "images" / path)
    folder = make_results(tmp_path / "j", paths, people(3, 4), photos=tmp_path / "images")
    before = {path.name for path in folder.iterdir()}
    first = build_report(folder, tmp_path / "images").read_bytes()
    assert build_report(folder, tmp_path / "images").read_bytes() == first
    assert {path.name for path in folder.iterdir()} == before | {"report.html"}


def test_without_the_matrix_the_page_is_the_same(tmp_path: Path) -> None:
    """Distances come from the embeddings then."""
    pages = [
        _report(make_results(tmp_path / str(k) / "j", ["a", "b", "c", "d"], people(2, 2), matrix=matrix)).source
        for k, matrix in enumerate((True, False))
    ]
    assert pages[0] == pages[1]


def test_2000_faces_in_seconds(tmp_path: Path) -> None:
    """The heat map is of a sample, and says so; the groups are of all."""
    page = _report(make_results(tmp_path / "j", [f"{k}.jpg" for k in range(2000)], people(500, 4)))
    assert "Shown are 1,000 of 2,000 faces" in page.text and "500 groups of two faces and more" in page.text
    assert page.data["matrix"]["size"] == 1000 and len(page.data["names"]) == 2000
    assert len(page.source) < 10e6


def test_a_large_job_is_shown_by_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said at the top, with the command that looks at all."""
    monkeypatch.setattr(model, "MAX_FACES", 50)
    page = _report(make_results(tmp_path / "j", [f"{k}.jpg" for k in range(200)], people(200, 1)))
    assert "The job has 200 faces." in page.text and "those of 50 of them" in page.text
    assert "python -m producer groups j" in page.text and page.data["names"][-1] == "199.jpg"


def test_hostile_names_are_text(tmp_path: Path) -> None:
    """In every place of the page, and in the data for the scripts."""
    odd = [
        '"><img src=x onerror=alert(1)>.jpg',
        "</script><script>alert(2)</script>/a.jpg",
        "{{ 7 * 7 }}.jpg",
        "a'b&amp;.jpg",
    ]
    paths = [HOSTILE, *odd]
    bad = {"image": 9, "path": "<b>bad</b>.jpg", "outcome": "unreadable", "error": "<i>no</i>"}
    folder = make_results(
        tmp_path / "j", paths, np.tile(people(1, 1), (5, 1)), more=[bad], same_as={odd[3]: HOSTILE}, source="/<u>x</u>"
    )
    page = _report(folder)
    assert [e.attributes.get("type") for e in page.all("script")] == ["application/json", None]
    assert not page.all("u") and not {(e.tag, e.text) for e in page.elements} & {("b", "bad"), ("i", "no")}
    assert all(str(e.attributes["src"]).startswith("data:") for e in page.all("img"))
    assert page.data["names"] == paths
    assert HOSTILE in page.text and "<b>bad</b>.jpg" in page.text and "/<u>x</u>" in page.text and odd[2] in page.text
    raw = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.source, re.S)
    assert raw and "<" not in raw[1]


def test_the_page_asks_nothing_of_the_network(tmp_path: Path) -> None:
    """No address in it, a policy that forbids them, and scripts by their hash only."""
    page = _report(make_results(tmp_path / "j", ["a.jpg", "b.jpg"], people(1, 2)))
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", page.source)
    policy = str(page.all("meta", http_equiv="Content-Security-Policy")[0].attributes["content"])
    assert "default-src 'none'" in policy and "img-src data:" in policy
    digest = base64.b64encode(hashlib.sha256(page.all("script")[-1].text.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert not [e for e in page.elements if any(name.startswith("on") for name in e.attributes)]


def test_every_picture_has_words(tmp_path: Path) -> None:
    """Thumbnails, heat map, charts; a picture that is not there too."""
    _save(tmp_path / "images" / "a.jpg")
    resources = {
        "w@host": [{"time": f"2026-01-31T12:00:0{k}.000+00:00", "cpu_percent": 50, "rss_mib": 100} for k in range(3)]
    }
    page = _report_with(tmp_path, ["a.jpg", "b.jpg"], people(1, 2), resources=resources)
    assert len(page.all("img")) == 2 and all(e.attributes["alt"] for e in page.all("img"))
    labels = [str(e.attributes["aria-label"]) for e in page.elements if e.attributes.get("role") == "img"]
    assert all(labels) and any(label.startswith("Histogram of 1 distance") for label in labels)
    assert "No picture: Face 1, in b.jpg" in labels and any(label.startswith("CPU of w@host") for label in labels)
    assert all(e.attributes.get("aria-hidden") == "true" for e in page.all("svg"))


def test_two_workers_have_their_curves(tmp_path: Path) -> None:
    """Sums over a worker's processes, on one axis with the phases; a damaged file costs only itself."""

    def row(second: int, cpu: float) -> dict[str, object]:
        return {"time": f"2026-01-31T12:00:{second:02d}.000+00:00", "cpu_percent": cpu, "rss_mib": 200}

    resources = {
        "one@a": [row(second, 40) for second in range(12) for _ in range(2)],
        "two@b": [row(second, 10) for second in range(12)],
        "bad@c": [{"time": "yesterday", "cpu_percent": "much"}],
    }
    page = _report(make_results(tmp_path / "j", ["a.jpg"], people(1, 1), resources=resources))
    assert "mean 80 %" in page.text and "mean 10 %" in page.text and "bad@c" not in page.text
    assert "embedding, 10.0 s" in page.text and "distances, 2.0 s" in page.text
    assert len(page.all("polyline")) == 4 and len(page.all("span", class_="phase second")) == 4


def test_many_workers_are_counted_and_some_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be read, or holds nothing, is neither."""
    monkeypatch.setattr(model, "_MAX_CURVES", 2)
    row = {"time": "2026-01-31T12:00:01.000+00:00", "cpu_percent": 40, "rss_mib": 200}
    resources = {f"{name}@a": [row] for name in "bdefg"} | {"c@a": [], "a@a": [row | {"cpu_percent": "much"}]}
    page = _report(make_results(tmp_path / "j", ["a.jpg"], people(1, 1), resources=resources))
    assert "b@a" in page.text and "d@a" in page.text and "e@a" not in page.text
    assert "3 more workers are in resources/" in page.text


def test_what_was_tried_again_has_curves_of_its_own(tmp_path: Path) -> None:
    """A day later: the first time's curves and phases stay as they were, and the day between is not drawn."""
    first, again = "2026-01-31T12:00:", "2026-02-01T12:00:"
    resources = {
        "one@a": [
            {"time": f"{day}{second:02d}.000+00:00", "cpu_percent": cpu, "rss_mib": 200}
            for day, cpu in ((first, 80), (again, 20))
            for second in range(5)
        ]
    }
    retry = {
        "started": f"{again}00.000+00:00",
        "ended": f"{again}03.000+00:00",
        "phases": {"distances_started": f"{again}03.000+00:00", "distances_ended": f"{again}04.000+00:00"},
    }
    page = _report(make_results(tmp_path / "j", ["a.jpg"], people(1, 1), resources=resources, retries=[retry]))
    assert "The first time 2026-01-31 12:00:00 UTC" in page.text
    assert "Failed images tried again 2026-02-01 12:00:00 UTC" in page.text
    assert "mean 80 %" in page.text and "mean 20 %" in page.text
    assert "embedding, 10.0 s" in page.text and "embedding, 3.0 s" in page.text
    labels = [str(e.attributes["aria-label"]) for e in page.elements if e.attributes.get("role") == "img"]
    assert any("over 4.0 s" in label and "Distances from 3.0 s to 4.0 s." in label for label in labels)


def test_a_retry_keeps_what_was_sampled_and_profiled_before(tmp_path: Path) -> None:
    """Also of a worker that was there both times; the summary says when which was."""
    early, late = "2026-01-31T12:00:01.000+00:00", "2026-02-01T12:00:01.000+00:00"
    before = {worker: [{"time": early, "cpu_percent": "80"}] for worker in ("both@a", "gone@b")}
    phases = {"distances_started": early, "distances_ended": early}
    folder = make_results(tmp_path / "j", ["a.jpg"], people(1, 1), resources=before, phases=phases)
    (folder / "profile").mkdir()
    for name in ("worker-1.prof", "worker-1.json", "worker-2.prof"):
        (folder / "profile" / name).write_text("before")
    scratch, profiles = tmp_path / "scratch", tmp_path / "profiles"
    for made in (scratch, profiles):
        made.mkdir()
    (profiles / "worker-2.prof").write_text("again")

    fresh = {"both@a": [{"time": late, "cpu_percent": "20"}], "new@c": [{"time": late, "cpu_percent": "30"}]}
    write_samples(fresh, scratch, earlier_samples(folder))
    copy_profiles(profiles, scratch, folder)
    again = {"started": late, "ended": late, "seconds": {}, "workers": {}, "phases": {"distances_started": late}}
    summary = merged_summary(folder, again)

    found = {
        path.stem: [(row["time"], row["cpu_percent"]) for row in csv.DictReader(path.open())]
        for path in (scratch / "resources").iterdir()
    }
    assert found == {"both@a": [(early, "80"), (late, "20")], "gone@b": [(early, "80")], "new@c": [(late, "30")]}
    assert {path.name: path.read_text() for path in (scratch / "profile").iterdir()} == {
        "worker-1.prof": "before",
        "worker-1.json": "before",
        "worker-2.prof": "again",
    }
    assert summary["phases"] == phases and summary["retries"][0]["phases"] == {"distances_started": late}


@pytest.mark.parametrize(
    ("files", "ended", "reason"),
    [
        ({}, "02", "the job was shorter than"),
        ({}, "40", "resources/ is empty"),
        ({"w@a": [{"time": "yesterday", "cpu_percent": "much"}]}, "02", "none that can be read"),
    ],
)
def test_why_there_are_no_curves(tmp_path: Path, files: dict[str, object], ended: str, reason: str) -> None:
    """The job's shortness is only said of a short job."""
    ended = f"2026-01-31T12:00:{ended}.000+00:00"
    page = _report(make_results(tmp_path / "j", ["a.jpg"], people(1, 1), resources=files, ended=ended))  # type: ignore[arg-type]
    assert [text for text in ("the job was shorter", "is empty", "can be read.") if text in page.text] == [
        text for text in ("the job was shorter", "is empty", "can be read.") if text in f"{reason}."
    ]


@pytest.mark.parametrize(
    ("recalled", "words"),
    [(2, "All 2 images were known from an earlier job"), (1, "1 of them was known"), (0, None)],
)
def test_recalled_images_are_said_beside_the_speed(tmp_path: Path, recalled: int, words: str | None) -> None:
    """They were not computed, and the speed is none of the networks'."""
    page = _report(make_results(tmp_path / "j", ["a.jpg", "b.jpg"], people(2, 1), recalled=recalled))
    assert (words or "12.5 images/s") in page.text
    assert ("not computed again" in page.text) == bool(words)


def test_long_curves_are_thinned() -> None:
    """Hours of samples become some hundred points with the same mean."""
    from shared.report.charts import timeline
    from shared.results.reader import Sample

    samples = [
        Sample(f"2026-01-31T{k // 3600:02d}:{k // 60 % 60:02d}:{k % 60:02d}+00:00", k % 100, 10) for k in range(20_000)
    ]
    found = timeline({"w": samples}, [])
    assert found and len(found.workers[0].cpu.points.split()) <= 500 and abs(found.workers[0].cpu.mean - 49.5) < 0.1


def test_thinned_samples_count_for_their_time() -> None:
    """An hour of a sample a minute and a minute of a sample a second: the mean is that of the time, not of the rows."""
    from datetime import UTC, datetime

    from shared.report.charts import timeline
    from shared.results.reader import Sample

    moments = [60.0 * k for k in range(60)] + [3541.0 + k for k in range(60)]
    times = [datetime.fromtimestamp(1.8e9 + moment, UTC).isoformat(timespec="milliseconds") for moment in moments]
    found = timeline({"w": [Sample(time, 100 if k < 60 else 0, 10) for k, time in enumerate(times)]}, [])
    assert found and abs(found.workers[0].cpu.mean - 100 * 3600 / 3660) < 0.1


def test_duplicates_are_suspected(tmp_path: Path) -> None:
    """Copies by their bytes; near faces by their distance, but no pair a second time with a copy of its file."""
    embeddings = np.concatenate([np.tile(people(1, 1, 1), (3, 1)), people(2, 1, 2)])
    embeddings[2] += 0.001
    folder = make_results(tmp_path / "j", [f"{k}.jpg" for k in range(5)], embeddings, same_as={"1.jpg": "0.jpg"})
    page = _report(folder)
    assert "1 copy of other files" in page.text and "0.jpg is also 1.jpg" in page.text
    assert [e.attributes["data-pair"] for e in page.all("span", class_="thumbs")] == ["0 2"]
    assert "1 pair within" in page.text


def test_pictures_are_upright_and_of_the_face(tmp_path: Path) -> None:
    """Turned by EXIF, cut around the box, small, and without what the camera wrote into the file."""
    upright = Image.new("RGB", SIZE, "blue")
    upright.paste("red", (0, 0, 60, 70))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a secret"
    (tmp_path / "images").mkdir()
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "images" / "a.jpg", exif=exif, comment=b"a secret")
    page = _report_with(tmp_path, ["a.jpg"], people(1, 1))
    picture = _picture(page, 0)
    assert picture is not None and picture.size == (96, 96) and not picture.getexif()
    assert b"secret" not in base64.b64decode(str(page.all("img")[0].attributes["src"]).split(",")[1])
    red, _, blue = picture.getpixel((20, 20))  # type: ignore[misc]
    assert red > 200 and blue < 60


def test_large_photographs_are_not_decoded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JPEG is read at a fraction of its size, and once, however many faces it has."""
    reduced = []
    monkeypatch.setattr(thumbnails, "_crop", lambda image, box, scale: reduced.append((image.size, scale)) or image)
    faces = [thumbnails.Face("a.jpg", (1000, 1000, 2600, 2600), 1.0), thumbnails.Face("a.jpg", (0, 0, 3000, 3000), 1.0)]
    _save(tmp_path / "a.jpg", (4000, 3200))
    images = [thumbnails.ImageFile("a.jpg", "ok", "", "", 4000, 3200)]
    found = thumbnails.cut_thumbnails(faces, images, {"a.jpg": _digest(tmp_path / "a.jpg")}, tmp_path)
    assert [size for size, _ in reduced] == [(500, 400)] * 2 and found.missing == 0


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "I;16", "F", "CMYK"])
def test_pictures_of_every_kind(tmp_path: Path, mode: str) -> None:
    """Whatever the pixels are."""
    kind = {"F": "tiff", "CMYK": "tiff"}.get(mode, "png")
    image = (
        Image.new("L", SIZE, 120).convert("RGB").convert(mode)
        if mode not in ("I;16", "F", "LA")
        else Image.new(mode, SIZE)
    )
    (tmp_path / "images").mkdir()
    image.save(tmp_path / "images" / f"a.{kind}")
    page = _report_with(tmp_path, [f"a.{kind}"], people(1, 1))
    assert _picture(page, 0) is not None


def test_pictures_that_cannot_be_had_are_missing(tmp_path: Path) -> None:
    """Not there, another image by now, damaged, a pipe, out of the folder, a name that was escaped: never an error."""
    images = tmp_path / "images"
    _save(images / "good.jpg")
    _save(images / "other.jpg", (50, 50))
    _save(tmp_path / "outside.jpg")
    (images / "damaged.jpg").write_bytes((images / "good.jpg").read_bytes()[:300])
    (images / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    os.mkfifo(images / "pipe.jpg")
    Path(os.fsdecode(os.fsencode(images) + b"/\xff.jpg")).write_bytes((images / "good.jpg").read_bytes())
    paths = ["good.jpg", "gone.jpg", "other.jpg", "damaged.jpg", "link.jpg", "pipe.jpg", "../outside.jpg", "\\xff.jpg"]
    page = _report(make_results(tmp_path / "j", paths, people(8, 1), photos=images), images)
    assert [_picture(page, face) is not None for face in range(8)] == [True] + [False] * 7
    assert "No picture of 7 faces" in page.text


def test_only_the_file_that_was_embedded_gives_a_picture(tmp_path: Path) -> None:
    """Another person's file of the same path and size gives none, nor one that was changed since, nor one without a
    digest.
    """
    for name in ("same.jpg", "changed.jpg", "unknown.jpg"):
        _save(tmp_path / "mine" / name)
        _save(tmp_path / "theirs" / name, colour="blue")
    folder = make_results(
        tmp_path / "j", ["same.jpg", "changed.jpg", "unknown.jpg"], people(3, 1), photos=tmp_path / "mine"
    )
    with (tmp_path / "mine" / "changed.jpg").open("ab") as file:
        file.write(b"one byte more")
    table = (folder / "digests.csv").read_text().splitlines()
    (folder / "digests.csv").write_text("\n".join([*table[:3], "2,"]) + "\n")
    page = _report(folder, tmp_path / "mine")
    assert [_picture(page, face) is not None for face in range(3)] == [True, False, False]
    assert "No picture of 2 faces" in page.text
    page = _report(folder, tmp_path / "theirs")
    assert [_picture(page, face) for face in range(3)] == [None] * 3
    (folder / "digests.csv").unlink()
    page = _report(folder, tmp_path / "mine")
    assert [_picture(page, face) for face in range(3)] == [None] * 3


@pytest.mark.parametrize("kind", ["jpg", "tiff", "png"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_turned_images_of_every_kind_have_pictures(tmp_path: Path, kind: str, orientation: int) -> None:
    """The box is cut from the upright image, also where Pillow turns the image itself when it reads it (TIFF)."""
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    upright = Image.new("RGB", SIZE, "blue")
    upright.paste("red", (0, 0, 60, 70))
    stored = upright.transpose(turn[orientation]) if orientation in turn else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    stored.save(tmp_path / "images" / f"a.{kind}", exif=exif)
    picture = _picture(_report_with(tmp_path, [f"a.{kind}"], people(1, 1)), 0)
    assert picture is not None
    red, _, blue = picture.getpixel((20, 20))  # type: ignore[misc]
    assert red > 200 and blue < 60


def test_pictures_are_bounded_in_time_and_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out is counted, and the page is made all the same."""
    for k in range(4):
        _save(tmp_path / "images" / f"{k}.jpg")
    folder = make_results(tmp_path / "j", [f"{k}.jpg" for k in range(4)], people(4, 1), photos=tmp_path / "images")
    assert (
        "No picture of 4 faces, for lack of time" in _report(folder, tmp_path / "images", thumbnail_seconds=-1.0).text
    )
    one = len(
        thumbnails.cut_thumbnails(
            [thumbnails.Face("0.jpg", (10, 10, 50, 60), 1)],
            [thumbnails.ImageFile("0.jpg", "ok", "", "", *SIZE)],
            {"0.jpg": _digest(tmp_path / "images" / "0.jpg")},
            tmp_path / "images",
        ).jpegs[0]
        or b""
    )
    monkeypatch.setattr(thumbnails, "MAX_TOTAL_BYTES", 2 * one)
    assert "No picture of 2 faces, for lack of time" in _report(folder, tmp_path / "images").text


def test_pictures_of_16_bit_images_have_the_brightness_that_the_networks_saw(tmp_path: Path) -> None:
    """A dark scan stays dark: no stretching of its own in the report."""
    dark = Image.fromarray(np.full((120, 120), 20 * 257, np.uint16))
    dark.save(tmp_path / "a.png")
    faces = [thumbnails.Face("a.png", (20, 20, 100, 100), 1.0)]
    images = [thumbnails.ImageFile("a.png", "ok", "", "", 120, 120)]
    (jpeg,) = thumbnails.cut_thumbnails(faces, images, {"a.png": _digest(tmp_path / "a.png")}, tmp_path).jpegs
    seen = decode((tmp_path / "a.png").read_bytes(), Limits(2**20, 10**6)).image
    assert jpeg is not None and seen.getpixel((60, 60)) == (20, 20, 20)
    shown = np.asarray(Image.open(io.BytesIO(jpeg)))
    assert abs(shown.mean() - 20) < 1


def test_another_contract_has_no_groups(tmp_path: Path) -> None:
    """The page says why, and groups at a distance that is given."""
    contract = CONTRACT.as_dict() | {"margin_px": 0}
    folder = make_results(tmp_path / "j", ["a.jpg", "b.jpg"], people(1, 2), contract=contract)
    page = _report(folder)
    assert "No threshold is calibrated for this job's contract" in page.text and page.data["threshold"] is None
    page = _report(folder, threshold=0.9)
    assert "The threshold 0.9 was given by hand" in page.text and "1 group of two faces" in page.text
    assert "would be expected" not in page.text


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
    """ResultsError, and what was there before stays."""
    folder = make_results(tmp_path / "j", ["a.jpg", "b.jpg"], people(1, 2))
    (folder / "report.html").write_text("before")
    damage(folder)  # type: ignore[operator]
    with pytest.raises(ResultsError, match=message):
        build_report(folder, None)
    assert (folder / "report.html").read_text() == "before"


def test_the_command_of_the_aggregator(tmp_path: Path) -> None:
    """Prints the path; one line and exit code 1 for a folder that is none; knows nothing of torch, queues or
    servers.
    """
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
    """Finds the images where the job had them, or where it is told; says when they are not there."""
    _save(tmp_path / "photos" / "a.jpg")
    photos = tmp_path / "photos"
    make_results(tmp_path / "results" / "j", ["a.jpg", "b.jpg"], people(1, 2), photos=photos, source=str(photos))
    command = [sys.executable, "-m", "producer", "report", "j", "--results", str(tmp_path / "results")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    written = tmp_path / "results" / "j" / "report.html"
    assert done.returncode == 0 and done.stdout.strip() == str(written) and not done.stderr
    assert _picture(read_page(written), 0) is not None
    (tmp_path / "photos").rename(tmp_path / "moved")
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "Give their folder with --images DIR" in done.stderr
    assert _picture(read_page(written), 0) is None
    done = subprocess.run([*command, "--images", str(tmp_path / "moved")], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and _picture(read_page(written), 0) is not None
    done = subprocess.run([*command, "--images", str(tmp_path / "photos")], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "is not a folder" in done.stderr
