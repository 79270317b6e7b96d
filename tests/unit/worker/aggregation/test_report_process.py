"""The aggregator's report: pictures come only from the job's own images inside the data root."""

import base64
import gc
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from PIL import Image

from shared.domain.thumbnail import small_jpeg
from shared.results.thumbnail_file import ThumbnailWriter
from tests.support.results_folders import SIZE, make_results, people, read_page
from worker.aggregation import report_process
from worker.aggregation.report_process import ReportProcess


def write_report(job: SimpleNamespace, results: Path, data_root: Path) -> None:
    """As an aggregation does it."""
    with ReportProcess(job, results, data_root) as report:  # type: ignore[arg-type]
        report.write()


@pytest.mark.parametrize(
    ("folder", "inline", "shown"),
    [
        ("mine", False, True),
        ("mine", True, False),
        ("link", False, False),
        ("../outside", False, False),
        ("/outside", False, False),
        ("circle", False, False),
        ("none\0such", False, False),
    ],
)
def test_pictures_come_from_inside_the_data_root(tmp_path: Path, folder: str, inline: bool, shown: bool) -> None:
    """Neither the record's folder nor a link leads out of it, and an inline job has no folder here. A report is still
    written.
    """
    root, outside = tmp_path / "root", tmp_path / "outside"
    for photos in (root, root / "mine", outside):
        photos.mkdir()
        Image.new("RGB", SIZE, "red").save(photos / "a.jpg")
    (root / "link").symlink_to(outside)
    (root / "circle").symlink_to("circle")
    results = make_results(tmp_path / "j", ["a.jpg"], people(1, 1), photos=outside)
    folder = str(outside) if folder == "/outside" else folder
    job = SimpleNamespace(
        name="j", faces=1, options=SimpleNamespace(folder=folder, inline=inline, location="", report_faces=100)
    )
    write_report(job, results, root)
    page = read_page(results / "report.html")
    assert bool(page.all("img")) == shown
    assert ("No picture of 1 face" in page.text) == (not shown)


def test_thumbnails_at_hand_need_no_image(tmp_path: Path) -> None:
    """The worker's are shown as they are; what it has not cut comes from the file, if that is there."""
    results = make_results(tmp_path / "j", ["gone.jpg", "other.jpg"], people(2, 1))
    jpeg = small_jpeg(Image.new("RGB", SIZE, "red"))
    job = SimpleNamespace(
        name="j", faces=1, options=SimpleNamespace(folder=".", inline=False, location="", report_faces=100)
    )
    with ThumbnailWriter(results / "thumbnails.bin", 2) as thumbnails:
        thumbnails.add(0, jpeg)
    write_report(job, results, tmp_path)
    page = read_page(results / "report.html")
    assert base64.b64encode(jpeg).decode() in (results / "report.html").read_text()
    assert "No picture of 1 face" in page.text


def test_a_report_that_kills_its_process_costs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is killed, hangs, or raises: a line in the log."""
    results = make_results(tmp_path / "j", ["a.jpg"], people(1, 1))
    job = SimpleNamespace(
        name="j", faces=1, options=SimpleNamespace(folder=".", inline=True, location="", report_faces=100)
    )
    faults = (lambda: os.kill(os.getpid(), signal.SIGKILL), 300), (lambda: time.sleep(60), 1), (lambda: 1 / 0, 300)
    for fault, limit_s in faults:
        monkeypatch.setattr(report_process, "_LIMIT_S", limit_s)
        monkeypatch.setattr(report_process, "_build", lambda *_, fault=fault: fault())
        write_report(job, results, tmp_path)
    said = [record.getMessage() for record in caplog.records]
    assert ["ended with -9" in said[0], "not done after" in said[1], "division by zero" in said[2]] == [True] * 3
    assert not (results / "report.html").exists()


def test_the_garbage_of_the_worker_is_not_collected_in_the_process_of_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks are garbage once others were loaded. They would wait for threads that the process does not have."""
    results = make_results(tmp_path / "j", ["a.jpg"], people(1, 1))
    collected = tmp_path / "collected"

    class Network:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            collected.write_text(str(os.getpid()))

    monkeypatch.setattr(report_process, "_build", lambda *_: gc.collect())
    job = SimpleNamespace(
        name="j", faces=1, options=SimpleNamespace(folder=".", inline=True, location="", report_faces=100)
    )
    gc.collect()
    Network()
    write_report(job, results, tmp_path)
    assert not collected.exists() or collected.read_text() == str(os.getpid())


def test_what_cannot_be_tidied_up_costs_no_job(tmp_path: Path) -> None:
    """The results are complete before the report: a leftover that cannot be removed does not make them fail."""
    results = make_results(tmp_path / "j", ["a.jpg"], people(1, 1))
    (results / ".report.html.left").mkdir()
    job = SimpleNamespace(
        name="j", faces=1, options=SimpleNamespace(folder=".", inline=True, location="", report_faces=100)
    )
    write_report(job, results, tmp_path)
    assert (results / "report.html").is_file()


def test_without_results_there_is_no_report_and_no_process(tmp_path: Path) -> None:
    """The aggregation has failed: the process that was to write the report is gone."""
    results = make_results(tmp_path / "j", ["a.jpg"], people(1, 1))
    job = SimpleNamespace(
        name="j", faces=1, options=SimpleNamespace(folder=".", inline=True, location="", report_faces=100)
    )
    before = psutil.Process().children()
    with pytest.raises(ZeroDivisionError), ReportProcess(job, results, tmp_path):  # type: ignore[arg-type]
        assert len(psutil.Process().children()) == len(before) + 1
        _ = 1 / 0
    assert psutil.Process().children() == before
    assert not (results / "report.html").exists()
