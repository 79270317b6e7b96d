"""Unfinished work never expires: the job is reported as stalled, and continues when workers come."""

import time
from pathlib import Path

import pytest

from shared.messaging.celery_app import make_celery
from shared.store.jobs import JobRecord, list_jobs
from shared.store.keys import PREFIX
from tests.support.jobs import add_batch, do_batch, make_job
from tests.support.stage import Stage
from worker.supervision.reconciler import Reconciler

WEEKS_AGO_MS = 15 * 86_400_000


def _age(stage: Stage, name: str) -> None:
    """Makes a job's last change 15 days old, by the server's clock."""
    seconds, _ = stage.client.time()
    stage.client.hset(f"{PREFIX}job:{name}", "updated_ms", seconds * 1000 - WEEKS_AGO_MS)


def test_work_is_kept_however_old_it_is(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Jobs with blocks or open batches stay, with one log line each. A job without a batch is removed."""
    for name in ("done", "open", "empty"):
        record, job = make_job(stage, name)
        producer = record.attach_producer(job.uid)
        if name == "done":
            do_batch(record, job, 0, producer)
        elif name == "open":
            add_batch(record, job.uid, producer, 0, ["a.jpg"])
        _age(stage, name)
    reconciler = Reconciler(make_celery(stage.settings), stage.client, stage.settings, "w")
    with caplog.at_level("INFO"):
        for _ in range(3):
            reconciler.step()
    assert [job.name for job in list_jobs(stage.client)] == ["done", "open"]
    assert JobRecord(stage.client, "done").blocks([0]) == [b"block"]
    said = [record.message for record in caplog.records if getattr(record, "action", "") == "job_stalled"]
    assert len(said) == 2 and all("no news for 15.0 days" in line for line in said)


def test_a_workers_clock_decides_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose clock is a month ahead neither removes jobs nor reports them as stalled."""
    make_job(stage)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 30 * 86_400)
    reconciler = Reconciler(make_celery(stage.settings), stage.client, stage.settings, "w")
    reconciler.step()
    assert [job.name for job in list_jobs(stage.client)] == ["j"]


def test_a_stalled_job_is_named_and_goes_on(stage: Stage, sample: Path) -> None:
    """`jobs` and `status` show it. When a worker comes, it finishes the job."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    assert stage.producer("enqueue", str(sample / "hopper"), "--job", "late", **root).returncode == 0
    _age(stage, "late")
    listed = stage.producer("jobs")
    assert "sealed, stalled" in listed.stdout and "--stalled-days" in listed.stderr
    assert "stalled: it resumes when a worker serves it" in stage.producer("status", "late").stdout
    assert stage.producer("jobs", "--prune").returncode == 0
    stage.worker("--concurrency", "1", **root)
    assert stage.producer("watch", "late").returncode == 0
    assert "stalled" not in stage.producer("jobs").stdout
    assert "job late is stalled" in stage.log("worker.log")


def test_abandoned_jobs_of_run_are_removed_when_asked(stage: Stage) -> None:
    """No reconciler serves their queues. Jobs with recent changes and messages of other jobs stay."""
    for name in ("left", "fresh"):
        record, job = make_job(stage, name)
        stage.client.hset(f"{PREFIX}job:{name}", "queue_prefix", f"run-{name}-")
        do_batch(record, job, 0, record.attach_producer(job.uid))
        stage.client.lpush(f"run-{name}-embed", f'{{"headers": {{"id": "{name}:1:2"}}}}')
    _age(stage, "left")
    assert stage.producer("jobs", "--stalled-days", "14").returncode == 2
    assert stage.producer("jobs", "--prune", "--stalled-days", "16").returncode == 0
    assert len(list_jobs(stage.client)) == 2
    done = stage.producer("jobs", "--prune", "--stalled-days", "14")
    assert done.returncode == 0, done.stderr
    assert "Removed: left (s); not done: 0 of 1 image" in done.stderr
    assert [job.name for job in list_jobs(stage.client)] == ["fresh"]
    assert not list(stage.client.scan_iter(f"{PREFIX}job:left*"))
    assert (stage.client.llen("run-left-embed"), stage.client.llen("run-fresh-embed")) == (0, 1)
