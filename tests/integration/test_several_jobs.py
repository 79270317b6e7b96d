"""Several jobs share workers: `enqueue --priority`, `prioritize`, and a small job behind a large one."""

from pathlib import Path

from shared.store.jobs import JobRecord
from tests.support.stage import Stage, wait_until


def test_a_small_job_does_not_wait_for_a_large_one(stage: Stage, sample: Path) -> None:
    """It was enqueued later, and is finished first. `status` shows priorities, `prioritize` changes them."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    large = ("enqueue", str(sample), "--job", "large", "--batch-size", "1")
    assert stage.producer(*large, **root).returncode == 0
    small = ("enqueue", str(sample / "hopper"), "--job", "small", "--batch-size", "1", "--priority", "high")
    assert stage.producer(*small, **root).returncode == 0
    records = {name: JobRecord(stage.client, name) for name in ("large", "small")}
    assert {name: record.load().priority for name, record in records.items()} == {"large": "normal", "small": "high"}
    assert stage.producer(*small[:-1], "normal", **root).returncode == 0  # the unfinished job is resumed
    assert "priority   normal" in stage.producer("status", "small").stdout
    changed = stage.producer("prioritize", "large", "low")
    assert (changed.returncode, changed.stdout) == (0, "large: priority low\n")
    assert stage.producer("prioritize", "large", "low").stdout == "large: priority low, as before\n"
    assert stage.producer("prioritize", "large", "normal").returncode == 0
    (row,) = [line for line in stage.producer("jobs").stdout.splitlines() if line.startswith("large")]
    assert row.split()[:3] == ["large", "sealed", "normal"]
    stage.worker("--concurrency", "1", **root)
    wait_until(lambda: records["small"].load().state == "finished", 60, "the small job is finished")
    job = records["large"].load()
    assert job.images_done < job.images, "the large job was done before"
    refused = stage.producer("prioritize", "small", "high")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "only an unfinished job has a priority" in refused.stderr
    assert stage.producer("prioritize", "none", "high").returncode == 2
    assert stage.producer("prioritize", "large", "urgent").returncode == 2
