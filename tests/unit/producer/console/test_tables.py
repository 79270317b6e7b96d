"""The table of workers, for any announcement."""

import pytest

from producer.console.tables import print_workers
from shared.store.worker_registry import Worker


def test_a_worker_is_one_line_with_its_batches_by_job(capsys: pytest.CaptureFixture[str]) -> None:
    """This includes a host name that looks like markup."""
    worker = Worker(
        "worker-7@[b]ost",
        ["embed"],
        2,
        {"cpu_percent": 187.3, "rss_mib": 812.3, "images_per_s": 12.34, "images_done": 99},
        host="[b]ost",
        started_ms=1_769_817_600_000,
        current=["a:1", "a:2", "b:aggregate"],
    )
    print_workers([worker])
    _, line = capsys.readouterr().out.splitlines()
    assert line.split()[:8] == ["worker-7", "[b]ost", "embed", "2", "187", "812", "12.3", "99"]
    assert line.rstrip().endswith("a:1,2 b:aggregate")


def test_a_worker_that_has_just_begun_or_is_of_another_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Its announcement is incomplete, and the table still has its row."""
    print_workers([Worker("worker-7@host", ["embed"], 2, {})])
    assert capsys.readouterr().out.splitlines()[1].split() == [
        "worker-7",
        "embed",
        "2",
        "-",
        "-",
        "-",
        "-",
        "-",
        "-",
    ]
