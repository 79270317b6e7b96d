"""A retry is merged into the earlier results."""

import csv
from pathlib import Path

from tests.support.results_folders import make_results, people
from worker.aggregation.profile_files import copy_profiles
from worker.aggregation.retry_merge import merged_summary
from worker.aggregation.sample_files import earlier_samples, write_samples


def test_a_retry_keeps_what_was_sampled_and_profiled_before(tmp_path: Path) -> None:
    """This includes a worker that took part both times. The summary has the times of both."""
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
