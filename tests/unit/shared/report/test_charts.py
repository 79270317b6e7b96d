"""The curves of workers in a report."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.report import sections
from shared.report.charts import timeline
from shared.results.reader import Sample
from tests.support.report_pages import make_report
from tests.support.results_folders import make_results, people


def test_two_workers_have_their_curves(tmp_path: Path) -> None:
    """The curves are sums over a worker's processes, with the phases on the same axis. A damaged file affects only
    itself.
    """

    def row(second: int, cpu: float) -> dict[str, object]:
        return {"time": f"2026-01-31T12:00:{second:02d}.000+00:00", "cpu_percent": cpu, "rss_mib": 200}

    resources = {
        "one@a": [row(second, 40) for second in range(12) for _ in range(2)],
        "two@b": [row(second, 10) for second in range(12)],
        "bad@c": [{"time": "yesterday", "cpu_percent": "much"}],
    }
    page = make_report(make_results(tmp_path / "j", ["a.jpg"], people(1, 1), resources=resources))
    assert "mean 80 %" in page.text and "mean 10 %" in page.text and "bad@c" not in page.text
    assert "embedding, 10.0 s" in page.text and "distances, 2.0 s" in page.text
    assert len(page.all("polyline")) == 4 and len(page.all("span", class_="phase second")) == 4


def test_many_workers_are_counted_and_some_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unreadable or empty file counts as neither."""
    monkeypatch.setattr(sections, "_MAX_CURVES", 2)
    row = {"time": "2026-01-31T12:00:01.000+00:00", "cpu_percent": 40, "rss_mib": 200}
    resources = {f"{name}@a": [row] for name in "bdefg"} | {"c@a": [], "a@a": [row | {"cpu_percent": "much"}]}
    page = make_report(make_results(tmp_path / "j", ["a.jpg"], people(1, 1), resources=resources))
    assert "b@a" in page.text and "d@a" in page.text and "e@a" not in page.text
    assert "3 more workers are in resources/" in page.text


def test_what_was_tried_again_has_curves_of_its_own(tmp_path: Path) -> None:
    """A retry a day later: the first run's curves stay, and the day in between is not drawn."""
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
    page = make_report(make_results(tmp_path / "j", ["a.jpg"], people(1, 1), resources=resources, retries=[retry]))
    assert "First run 2026-01-31 12:00:00 UTC" in page.text
    assert "Retry of failed images 2026-02-01 12:00:00 UTC" in page.text
    assert "mean 80 %" in page.text and "mean 20 %" in page.text
    assert "embedding, 10.0 s" in page.text and "embedding, 3.0 s" in page.text
    labels = [str(e.attributes["aria-label"]) for e in page.elements if e.attributes.get("role") == "img"]
    assert any("over 4.0 s" in label and "Distances from 3.0 s to 4.0 s." in label for label in labels)


@pytest.mark.parametrize(
    ("files", "ended", "reason"),
    [
        ({}, "02", "the job was shorter than"),
        ({}, "40", "resources/ is empty"),
        ({"w@a": [{"time": "yesterday", "cpu_percent": "much"}]}, "02", "none that can be read"),
    ],
)
def test_why_there_are_no_curves(tmp_path: Path, files: dict[str, object], ended: str, reason: str) -> None:
    """Only a short job is said to be short."""
    ended = f"2026-01-31T12:00:{ended}.000+00:00"
    page = make_report(make_results(tmp_path / "j", ["a.jpg"], people(1, 1), resources=files, ended=ended))
    assert [text for text in ("the job was shorter", "is empty", "can be read.") if text in page.text] == [
        text for text in ("the job was shorter", "is empty", "can be read.") if text in f"{reason}."
    ]


def test_long_curves_are_thinned() -> None:
    """Hours of samples become a few hundred points with the same mean."""
    samples = [
        Sample(f"2026-01-31T{k // 3600:02d}:{k // 60 % 60:02d}:{k % 60:02d}+00:00", k % 100, 10) for k in range(20_000)
    ]
    found = timeline({"w": samples}, [])
    assert found and len(found.workers[0].cpu.points.split()) <= 500 and abs(found.workers[0].cpu.mean - 49.5) < 0.1


def test_thinned_samples_count_for_their_time() -> None:
    """An hour with one sample per minute and a minute with one per second: the mean is over time, not over rows."""
    moments = [60.0 * k for k in range(60)] + [3541.0 + k for k in range(60)]
    times = [datetime.fromtimestamp(1.8e9 + moment, UTC).isoformat(timespec="milliseconds") for moment in moments]
    found = timeline({"w": [Sample(time, 100 if k < 60 else 0, 10) for k, time in enumerate(times)]}, [])
    assert found and abs(found.workers[0].cpu.mean - 100 * 3600 / 3660) < 0.1
