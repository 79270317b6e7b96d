"""Workers that cannot serve a job do not delay it, and it does not delay other jobs."""

import csv
import json
import re
import shutil
import signal
import time
from pathlib import Path
from statistics import median

import pytest
import torch

from shared.domain.queues import own_queue
from shared.store.jobs import JobRecord
from shared.store.keys import DIVERTED, PREFIX
from shared.store.turns import note_processes
from tests.support.results import result_bytes
from tests.support.stage import Stage, wait_until
from worker.models.torch_backend import new_resnet

FOREIGN = json.dumps({"backend": "another 1.0", "device": "cpu", "decoder": "another 1.0"})


def _many(folder: Path, image: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number:03}.jpg").write_bytes(image.read_bytes() + b"%d" % number)
    return folder


def _seconds(stage: Stage, job: str, **environment: str) -> float:
    """The seconds that `watch` follows a job to its end."""
    began = time.monotonic()
    done = stage.producer("watch", job, **environment)
    assert done.returncode == 0, done.stderr + stage.log("worker.log")
    return time.monotonic() - began


def _task_seconds(stage: Stage, answer: str) -> list[float]:
    """The duration of each batch whose task gave this answer."""
    found = re.findall(rf"succeeded in ([\d.e-]+)s: (?:{answer}):", stage.log("worker.log"))
    return [float(seconds) for seconds in found]


def test_a_job_nobody_can_serve_costs_the_others_nothing(stage: Stage, sample: Path, tmp_path: Path) -> None:
    """Its messages wait in their own queue, and status, workers and watch say why. The first fit worker does
    everything.
    """
    root = tmp_path / "root"
    image = sample / "hopper" / "smaller.jpg"
    other, stuck = _many(root / "other", image, 32), root / "stuck"
    stuck.mkdir()
    for number in range(100):
        (stuck / f"{number}.txt").write_text("no image, which is quickly done")
    environment = {"FACEQUEUE_DATA_ROOT": str(root)}
    worker = stage.worker("--concurrency", "2", **environment)
    for job in ("warm", "alone"):
        enqueued = stage.producer("enqueue", str(other), "--job", job, "--batch-size", "4", **environment)
        assert enqueued.returncode == 0
        alone = _seconds(stage, job)
    worker.send_signal(signal.SIGSTOP)
    note_processes(stage.client, "embed", 200)  # so that all its messages are sent before it is diverted
    assert stage.producer("enqueue", str(stuck), "--job", "stuck", "--batch-size", "1", **environment).returncode == 0
    record = JobRecord(stage.client, "stuck")
    stage.client.hset(f"{PREFIX}job:stuck", "runtime", FOREIGN)
    assert stage.producer("enqueue", str(other), "--job", "other", "--batch-size", "4", **environment).returncode == 0
    worker.send_signal(signal.SIGCONT)
    with_stuck = _seconds(stage, "other")
    refused_s, embedded_s = _task_seconds(stage, "refused"), _task_seconds(stage, "stored|last")
    assert len(refused_s) == 100  # each message once
    # Compared with batches of the same run, as the machine may be loaded. A second each, for two processes, would be 50
    # s.
    assert median(refused_s) < median(embedded_s) / 4, (refused_s, embedded_s)
    assert with_stuck < alone + 25, (with_stuck, alone)
    queue = own_queue("", record.load().uid)
    assert (stage.client.llen("embed"), stage.client.llen(queue), record.open_batches()) == (0, 100, 100)
    assert stage.log("worker.log").count("does not serve job stuck") <= 2
    reason = "the job was begun with another backend"
    assert re.search(rf"refused by +worker-.*{reason}", stage.producer("status", "stuck").stdout)
    assert reason in stage.producer("status").stdout
    wait_until(lambda: reason in stage.producer("workers").stdout, 20, "the worker says so")
    watched = stage.producer("watch", "stuck", FACEQUEUE_WORKER_TIMEOUT_S="2")
    assert (watched.returncode, "No living worker can serve job 'stuck'" in watched.stderr) == (4, True), watched.stderr
    assert reason in watched.stderr
    time.sleep(3)  # what the reconciler would send again, it would have by now
    assert stage.client.llen(queue) == 100
    stage.client.hdel(f"{PREFIX}job:stuck", "runtime")  # so that a worker which has not refused it is fit
    stage.worker("--concurrency", "1", **environment)
    assert stage.producer("watch", "stuck").returncode == 0
    wait_until(lambda: not stage.client.exists(DIVERTED, queue), 10, "the queue goes with its job")
    assert not [key for key in stage.client.keys("_kombu.binding.*") if queue.encode() in stage.client.smembers(key)]


def test_cancelling_a_diverted_job_takes_its_queue_along(stage: Stage, sample: Path) -> None:
    """There may be no worker to remove it."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    assert stage.producer("enqueue", str(sample), "--job", "stuck", "--batch-size", "4", **root).returncode == 0
    stage.client.hset(f"{PREFIX}job:stuck", "runtime", FOREIGN)
    queue = own_queue("", JobRecord(stage.client, "stuck").load().uid)
    worker = stage.worker("--concurrency", "1", **root)
    wait_until(lambda: stage.client.llen(queue) == 7, 30, "all are passed on")
    worker.terminate()
    worker.wait(30)
    assert stage.producer("cancel", "stuck").returncode == 0
    assert not stage.client.exists(queue, DIVERTED)


def test_a_worker_without_its_mount_leaves_the_job_to_the_others(stage: Stage, sample: Path, tmp_path: Path) -> None:
    """Nothing is recorded as unreadable. The log names worker, data root and folder, and the results are the usual
    bytes.
    """
    root, empty = tmp_path / "root", tmp_path / "empty"
    images = root / "images"
    shutil.copytree(sample, images)
    empty.mkdir()
    stage.worker("--concurrency", "2", FACEQUEUE_DATA_ROOT=str(empty))
    stage.worker("--concurrency", "1", FACEQUEUE_DATA_ROOT=str(root))
    done = stage.producer(
        "enqueue", str(images), "--wait", "--job", "mixed", "--batch-size", "2", FACEQUEUE_DATA_ROOT=str(root)
    )
    assert done.returncode == 3, done.stderr
    assert f"the folder 'images' in its data root {empty} cannot be opened" in done.stderr
    assert re.search(
        rf"worker-\S+ does not serve job mixed: .*'images' in its data root {empty}", stage.log("worker.log")
    )
    calm = stage.producer("run", str(images), "--results", str(stage.results), "--job", "calm", "--workers", "1")
    assert calm.returncode == 3
    paths = [(stage.results / job / "images.csv").read_text() for job in ("mixed", "calm")]
    assert [text.count("No such file") for text in paths] == [0, 0]
    assert (stage.results / "mixed" / "embeddings.npy").read_bytes() == (
        stage.results / "calm" / "embeddings.npy"
    ).read_bytes()


def test_the_data_root_itself_may_be_what_is_not_mounted(stage: Stage, sample: Path, tmp_path: Path) -> None:
    """With such workers only, `watch` ends and says so. Once the images are there, the worker continues."""
    empty = tmp_path / "empty"
    empty.mkdir()
    stage.worker("--concurrency", "1", FACEQUEUE_DATA_ROOT=str(empty))
    root = {"FACEQUEUE_DATA_ROOT": str(sample), "FACEQUEUE_WORKER_TIMEOUT_S": "3"}
    done = stage.producer("enqueue", str(sample), "--wait", "--job", "away", "--batch-size", "9", **root)
    assert done.returncode == 4, done.stderr
    assert f"its data root {empty} is empty" in done.stderr
    assert JobRecord(stage.client, "away").load().images_done == 0
    shutil.copytree(sample, empty, dirs_exist_ok=True)
    assert stage.producer("watch", "away").returncode == 3  # it looks again by itself
    assert "No such file" not in (stage.results / "away" / "images.csv").read_text()


def test_a_subfolder_that_is_gone_everywhere_is_unreadable(stage: Stage, sample: Path, tmp_path: Path) -> None:
    """This includes a missing file. The job ends with that outcome, with one worker or two."""
    for workers in (1, 2):
        images = tmp_path / f"images-{workers}"
        shutil.copytree(sample, images)
        root = {"FACEQUEUE_DATA_ROOT": str(images)}
        job = f"gone-{workers}"
        assert stage.producer("enqueue", str(images), "--job", job, "--batch-size", "3", **root).returncode == 0
        files = len(list((images / "hopper").iterdir()))
        shutil.rmtree(images / "hopper")
        lost = next(path for path in sorted(images.rglob("*.jpg")) if "damaged" not in str(path))
        lost.unlink()
        started = [stage.worker("--concurrency", "1", **root) for _ in range(workers)]
        done = stage.producer("watch", job)
        assert done.returncode == 3, done.stderr
        rows = (stage.results / job / "images.csv").read_text().splitlines()
        missing = [row for row in rows if ",unreadable,cannot be read: No such file or directory," in row]
        assert len(missing) == files + 1
        for worker in started:
            worker.terminate()
        for worker in started:
            worker.wait(30)


def test_a_worker_without_the_weights_does_not_decide_the_runtime(stage: Stage, sample: Path) -> None:
    """Otherwise workers with the weights would be refused for another backend."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    assert stage.producer("enqueue", str(sample), "--job", "own", **root).returncode == 0
    key = f"{PREFIX}job:own"
    contract = json.loads(stage.client.hget(key, "contract")) | {"weights": "own-mine", "weights_sha256": "0" * 64}
    stage.client.hset(key, "contract", json.dumps(contract))
    stage.worker("--concurrency", "1", **root)
    record = JobRecord(stage.client, "own")
    wait_until(record.refusals, 60, "the worker refuses")
    assert "FACEQUEUE_WEIGHTS_PATH" in next(iter(record.refusals().values()))
    assert record.load().runtime is None


@pytest.mark.timeout(400)  # converting weights takes a minute and a half on a loaded machine
def test_a_worker_with_the_weights_serves_what_one_without_them_refused(
    stage: Stage, sample: Path, tmp_path: Path
) -> None:
    """It starts later, sets the runtime and does every image while the first worker is still there."""
    weights = tmp_path / "mine.pt"
    torch.save(new_resnet().state_dict(), weights)
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    fit = root | {"FACEQUEUE_WEIGHTS_PATH": str(weights), "FACEQUEUE_CACHE_DIR": str(tmp_path / "cache")}
    options = ("--job", "own", "--weights", str(weights), "--batch-size", "2")
    enqueued = stage.producer("enqueue", str(sample / "hopper"), *options, **root)
    assert enqueued.returncode == 0, enqueued.stderr
    stage.worker("--concurrency", "1", **root)
    record = JobRecord(stage.client, "own")
    wait_until(record.refusals, 60, "the first worker refuses")
    wait_until(lambda: not stage.client.llen("embed"), 60, "all are passed on")
    job = record.load()
    assert (job.runtime, job.images_done, record.open_batches()) == (None, 0, job.batches)
    (refusing,) = record.refusals()
    stage.worker("--concurrency", "1", **fit)
    wait_until(
        lambda: record.load().images_done == job.images, 200, "the second worker converts the weights and does all"
    )
    done = stage.producer("watch", "own")
    assert done.returncode == 0, done.stderr + stage.log("worker.log")
    rows = list(csv.DictReader((stage.results / "own" / "images.csv").open()))
    assert len(rows) == job.images
    assert not [row for row in rows if row["worker"].startswith(refusing) or not row["worker"]]


@pytest.mark.timeout(400)  # two pins, so networks are converted twice
def test_processors_of_two_kinds_serve_a_job_under_one_pin(stage: Stage, sample: Path, tmp_path: Path) -> None:
    """Without the setting the second worker refuses and names it. With it, both give the same bytes."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    pinned = root | {"FACEQUEUE_CPU_ISA": "sse41"}
    first = stage.worker("--concurrency", "1", **root)
    assert stage.producer("enqueue", str(sample), "--wait", "--job", "plain", **root).returncode == 3
    begun = json.loads(stage.client.hget(f"{PREFIX}job:plain", "runtime"))
    first.send_signal(signal.SIGSTOP)
    assert stage.producer("enqueue", str(sample), "--job", "two", "--batch-size", "1", **root).returncode == 0
    stage.client.hset(f"{PREFIX}job:two", "runtime", json.dumps(begun, sort_keys=True))
    # Only now: otherwise it might begin the job with its own runtime.
    second = stage.worker("--queues", "embed", "--concurrency", "1", **pinned)
    wait_until(JobRecord(stage.client, "two").refusals, 60, "the second refuses")
    first.send_signal(signal.SIGCONT)
    done = stage.producer("watch", "two")
    assert done.returncode == 3
    assert f"instruction_set: {begun['instruction_set']} there, sse41 here" in done.stderr + stage.log("worker.log")
    assert result_bytes(stage.results / "plain") == result_bytes(stage.results / "two")
    for worker in stage.processes:
        worker.terminate()
    for worker in stage.processes:
        worker.wait(30)
    assert second.returncode == 0
    for job, workers in (("one-pinned", 1), ("two-pinned", 2)):
        for _ in range(workers):
            stage.worker("--concurrency", "1", **pinned)
        assert (
            stage.producer("enqueue", str(sample), "--wait", "--job", job, "--batch-size", "1", **root).returncode == 3
        )
    assert result_bytes(stage.results / "one-pinned") == result_bytes(stage.results / "two-pinned")
    summary = json.loads((stage.results / "two-pinned" / "summary.json").read_text())
    assert summary["contract"]["instruction_set"] == "sse41"
