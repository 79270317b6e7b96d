"""Failed images: the record lists a few, the results folder many, and a retry finds either."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

import shared.results.failed_list as failed_list
from producer.submission.batches import enqueue_images
from producer.submission.jobs import retry_job
from shared.domain.errors import FailedListUnreadable, InvalidRequest
from shared.domain.failed_images import fits_record
from shared.domain.job import Job
from shared.messaging.celery_app import make_celery
from shared.results.failed_list import failed_images, write_failed_list
from shared.store.jobs import JobRecord
from shared.store.keys import PREFIX
from tests.support.jobs import make_job
from tests.support.stage import Stage, wait_until

MANY = {index: f"folder/caf\udce9 \\n {index}.jpg" for index in range(10_001)}


def _finish(stage: Stage, record: JobRecord, failed: dict[int, str], done: int, *, full: bool = False) -> Job:
    """Finishes the job as the aggregator does: the list in the results folder first, then the record."""
    job = record.load()
    stage.client.hset(
        f"{PREFIX}job:j",
        mapping={"state": "sealed", "images": done, "images_done": done, "outcome:unreadable": len(failed)},
    )
    if full:
        stage.client.config_set("maxmemory", 1)
    assert record.claim_aggregation("h", 5)
    folder = stage.results / "j"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("embeddings.npy", "images.csv"):  # a results folder has both
        (folder / name).touch()
    write_failed_list(folder, job, failed, folder)
    assert record.finish(job, "h", 60, failed) == "finished"
    return record.load()


def test_many_failures_take_no_room_on_a_full_server(stage: Stage) -> None:
    """`finish` must work there, so it records only their number."""
    record, _ = make_job(stage)
    finished = _finish(stage, record, MANY, len(MANY), full=True)
    assert list(stage.client.scan_iter(f"{PREFIX}job:j*")) == [f"{PREFIX}job:j".encode()]
    assert stage.client.memory_usage(f"{PREFIX}job:j", samples=0) < 10_000
    assert failed_images(record, finished, stage.results) == MANY


def test_a_retry_of_many_failures_reads_the_results_folder(stage: Stage) -> None:
    """Every exact path is enqueued once. A repeated aggregation still finds them; then few remain."""
    record, _ = make_job(stage)
    _finish(stage, record, MANY, len(MANY))
    opened = retry_job(stage.client, "j", stage.settings, lambda line: None)
    assert (opened.retries, opened.images) == (1, 0)
    options = replace(opened.options, batch_size=1000)
    stage.client.hset(f"{PREFIX}job:j", "options", json.dumps(vars(options)))
    enqueue_images(stage.client, make_celery(stage.settings), record.load(), None, stage.settings, print)
    stands = record.load()
    assert (stands.batches, stands.images, stands.state) == (11, len(MANY), "sealed")
    folder = stage.results / "j"
    again = dict(list(MANY.items())[5:])
    for _ in range(2):  # the aggregator died after it had published, and before it finished the job
        write_failed_list(folder, stands, MANY, folder)
        assert failed_images(record, stands, stage.results) == MANY
    stage.client.delete(f"{PREFIX}job:j:open", f"{PREFIX}job:j:batches")
    last = _finish(stage, record, {5: again[5]}, len(MANY))
    assert (last.failed_listed, failed_images(record, last, stage.results)) == (0, {5: again[5]})


def test_a_list_that_is_not_here_is_said_before_anything_changes(stage: Stage, tmp_path: Path) -> None:
    """The error names the file and the machine to use; the job stays finished."""
    record, _ = make_job(stage)
    _finish(stage, record, MANY, len(MANY))
    elsewhere = stage.settings.model_copy(update={"results_dir": tmp_path / "elsewhere"})
    with pytest.raises(InvalidRequest, match=r"10001 images of job 'j' failed.*failed\.csv.*FACEQUEUE_RESULTS_DIR"):
        retry_job(stage.client, "j", elsewhere, lambda line: None)
    (stage.results / "j" / "failed.csv").write_text('retries,image,path\n0,0,"""a.jpg"""\n')
    with pytest.raises(InvalidRequest, match="lists 1 of them"):
        retry_job(stage.client, "j", stage.settings, lambda line: None)
    assert record.load().state == "finished"


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../a.jpg", "a/../../b.jpg", "", "a\0.jpg", "\ud800.jpg", 7, None, ["a.jpg"]]
)
def test_a_path_that_leads_elsewhere_is_refused(stage: Stage, path: object) -> None:
    """Someone else has written it into the results folder: nothing is enqueued."""
    _refuses(stage, json.dumps(path))


@pytest.mark.parametrize("written", ["a.jpg", '"a.jpg', "[" * 100_000])
def test_a_path_that_is_no_json_is_refused(stage: Stage, written: str) -> None:
    """It may be damaged in any way."""
    _refuses(stage, written)


def _refuses(stage: Stage, written: str) -> None:
    record, _ = make_job(stage)
    _finish(stage, record, MANY, len(MANY))
    with (stage.results / "j" / "failed.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("retries", "image", "path"), (0, 0, written)])
    with pytest.raises(FailedListUnreadable, match="is not readable: "):
        failed_images(record, record.load(), stage.results)


def test_a_real_retry_goes_by_the_list(stage: Stage, sample: Path, tmp_path: Path) -> None:
    """With a bound of zero, the worker writes the list, the retry reads it, and the results are complete."""
    images = tmp_path / "images"
    images.mkdir()
    picture = (sample / "hopper" / "smaller.jpg").read_bytes()
    (images / "a.jpg").write_bytes(picture)
    (images / "b.jpg").write_bytes(picture[:200])
    bound = {"FACEQUEUE_DATA_ROOT": str(images)}
    stage.spawn("tests.support.worker_without_room", "--concurrency", "1", log="worker.log", **bound)
    wait_until(lambda: " ready." in stage.log("worker.log"), 120, "the worker is ready")
    done = stage.producer("enqueue", str(images), "--wait", "--job", "j", **bound)
    assert done.returncode == 3, done.stderr
    assert (stage.results / "j" / failed_list.FAILED_LIST).is_file()
    assert JobRecord(stage.client, "j").load().failed_listed == 1
    (images / "b.jpg").write_bytes(picture)
    again = stage.producer("retry", "j", **bound)
    assert again.returncode == 0, again.stderr
    assert JobRecord(stage.client, "j").load().outcomes["ok"] == 2


def test_the_bound_counts_images_and_bytes() -> None:
    """The bound also counts bytes, because a path can be 4 KiB long."""
    assert fits_record(dict(list(MANY.items())[:10_000]))
    assert not fits_record(MANY)
    assert not fits_record(dict.fromkeys(range(300), "x" * 4096))
