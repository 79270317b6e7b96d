"""The second stage of a job as one sees it: in `status` and `watch`, on the page of jobs, and in metrics."""

import pytest
from prometheus_client import CollectorRegistry

from producer.console.tables import print_job, print_jobs
from producer.monitoring.job_watcher import ResultsNotWritten, follow
from producer.monitoring.prometheus import QueueCollector
from producer.page.result_files import ResultFiles
from producer.page.snapshot import read_snapshot
from producer.page.speeds import Speeds
from producer.page.view import make_view
from producer.page.waiting import WaitingReader
from shared.domain.priority import Priority
from shared.store.leases import Lease
from shared.store.redis_client import server_time_ms
from tests.integration.conftest import LONG_S, FreshJob

_LACKS = "worker-7@host lacks /results/.j.pairs"


@pytest.fixture
def comparing(fresh: FreshJob) -> FreshJob:
    """A job of five tiles: one is done, one is leased, three are not. A worker cannot compute them."""
    fresh.complete(2)
    assert fresh.record.claim_aggregation("w/9", LONG_S)
    assert fresh.record.add_tiles(fresh.uid, "w/9", "a" * 32, 5) is None
    fresh.record.release_aggregation(fresh.uid, "w/9")
    assert fresh.record.queue_up(fresh.uid, "aggregate")
    for _ in range(2):
        sent = fresh.record.dispatch("aggregate", Priority.NORMAL)
        assert sent is not None and isinstance(fresh.take(sent.batch, sent.sent.send), Lease)
    fresh.record.commit_tile(fresh.uid, 2, "a" * 32)
    fresh.record.note_refusal(fresh.uid, "worker-7@host", _LACKS)
    return fresh


def test_tiles_and_who_lacks_the_folder_are_shown(comparing: FreshJob, capsys: pytest.CaptureFixture[str]) -> None:
    """By `status`, for one job and for all, and by whoever follows the job, in one line each."""
    progress = "2/2 images, 2 faces, 0 failed, comparing faces, 1/5 tiles"
    now_ms = server_time_ms(comparing.client)
    for show in (print_job, lambda job, now_ms: print_jobs([job], now_ms)):
        show(comparing.load(), now_ms)
        shown = capsys.readouterr().out
        assert progress in shown and _LACKS in shown
    assert comparing.record.note_problem(comparing.uid, "disk full")
    with pytest.raises(ResultsNotWritten, match="disk full"):
        follow(comparing.client, "j", comparing.stage.settings)
    assert capsys.readouterr().err.splitlines() == [f"j: {_LACKS}.", f"j: {progress}"]


def test_tiles_are_on_the_page_and_in_the_metrics(comparing: FreshJob) -> None:
    """They count as batches of the queue `aggregate`, in which they wait."""
    client, settings = comparing.client, comparing.stage.settings
    snapshot = read_snapshot(client, WaitingReader(client, settings), 1)
    (row,) = make_view(snapshot, Speeds(), ResultFiles(settings.results_dir), 1, settings.job_ttl_s).jobs
    assert (row.speed, row.note) == ("comparing faces, 1/5 tiles", f"refused by a worker: {_LACKS}")
    registry = CollectorRegistry()
    registry.register(QueueCollector(client, settings))
    assert registry.get_sample_value("facequeue_batches_in_flight") == 1
    waiting = {"queue": "aggregate", "priority": "normal"}
    assert registry.get_sample_value("facequeue_batches_waiting", waiting) == 3
