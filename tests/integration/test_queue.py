"""Jobs through the queue: enqueue, workers, watch and cancel on a real server."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from shared.store.jobs import JobRecord
from shared.store.keys import PREFIX
from tests.support.faulty_worker import MARKS, SLOW_S
from tests.support.results import result_bytes
from tests.support.stage import ROOT, Stage, wait_until


def test_a_job_through_separate_workers(stage: Stage, sample: Path) -> None:
    """One worker embeds, another aggregates, models are loaded once, Flower shows readable arguments, `run` agrees."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    stage.worker("--queues", "embed", "--concurrency", "1", **root)
    stage.worker("--queues", "aggregate", "--concurrency", "1", **root)
    done = stage.producer("enqueue", str(sample), "--wait", "--batch-size", "3", "--job", "queued", **root)
    assert done.returncode == 3, done.stderr
    assert stage.log("worker.log").count("networks loaded") == 1
    again = stage.producer("run", str(sample), "--results", str(stage.results), "--job", "ran", "--workers", "1")
    assert again.returncode == 3, again.stderr
    assert result_bytes(stage.results / "ran") == result_bytes(stage.results / "queued")
    left = {key.decode() for key in stage.client.scan_iter(f"{PREFIX}job:*")}
    assert left == {f"{PREFIX}job:{job}{part}" for job in ("queued", "ran") for part in ("", ":failed")}
    listed = stage.producer("jobs")
    assert "queued" in listed.stdout and "finished" in listed.stdout
    assert "Forgotten: queued" in stage.producer("jobs", "--prune").stderr


def test_plain_celery_works_too(stage: Stage, sample: Path) -> None:
    """`celery -A worker.app worker` works, with a subfolder of a data root."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    stage.spawn("celery", "-A", "worker.app", "worker", "-c", "1", log="worker.log", **root)
    done = stage.producer("enqueue", str(sample / "hopper"), "--wait", "--job", "sub", **root)
    assert done.returncode == 0, done.stderr + stage.log("worker.log")
    first = (stage.results / "sub" / "images.csv").read_text().splitlines()[1]
    assert first.split(",")[1] == "as-is.jpg"


def test_the_first_batch_is_worked_on_while_the_folder_is_still_walked(
    stage: Stage, sample: Path, tmp_path: Path
) -> None:
    """With a window of two batches, enqueuing ends only if batches are done meanwhile. The bound holds."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    enqueuing = stage.spawn(
        "producer", "enqueue", str(sample), "--batch-size", "1", "--job", "stream", FACEQUEUE_WINDOW_BATCHES="2", **root
    )
    wait_until(lambda: stage.client.llen("embed") == 2, 20, "the window is full")
    time.sleep(0.5)  # time to overstep, if it would
    assert stage.client.llen("embed") == 2
    assert JobRecord(stage.client, "stream").load().state == "enqueuing"
    stage.worker("--concurrency", "1", **root)
    assert enqueuing.wait(60) == 0
    assert stage.producer("watch", "stream").returncode == 3


def test_no_worker_gives_up_with_a_clear_line(stage: Stage, sample: Path) -> None:
    """The exit code is 4, and the job stays."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample), "FACEQUEUE_WORKER_TIMEOUT_S": "1"}
    done = stage.producer("enqueue", str(sample), "--wait", "--job", "alone", **root)
    assert done.returncode == 4
    assert "python -m worker" in done.stderr
    assert "alone" in stage.producer("status").stdout
    assert "sealed" in stage.producer("status", "alone").stdout


def test_waiting_with_a_full_window_gives_up_too(stage: Stage, sample: Path) -> None:
    """The producer cannot continue without a worker, and `--wait` does not hang with it."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample), "FACEQUEUE_WORKER_TIMEOUT_S": "1", "FACEQUEUE_WINDOW_BATCHES": "1"}
    done = stage.producer("enqueue", str(sample), "--wait", "--batch-size", "1", "--job", "full", **root)
    assert (done.returncode, "No worker" in done.stderr) == (4, True)
    enqueuing = stage.spawn(
        "producer", "enqueue", str(sample), "--batch-size", "1", "--job", "full", log="p.log", **root
    )
    wait_until(lambda: "enqueuing resumes" in stage.log("p.log"), 20, "the window is full")
    assert stage.producer("cancel", "full").returncode == 0
    assert enqueuing.wait(10) == 4
    assert "was cancelled" in stage.log("p.log")


def test_a_finished_job_is_not_enqueued_again_in_silence(stage: Stage, sample: Path) -> None:
    """The message says how to compute it again."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    stage.worker("--concurrency", "1", "--queues", "embed", **root)
    arguments = ("enqueue", str(sample / "hopper"), "--wait", "--job", "twice")
    lonely = stage.producer(*arguments, **root, FACEQUEUE_WORKER_TIMEOUT_S="2")
    assert (lonely.returncode, "queue aggregate" in lonely.stderr) == (4, True)
    stage.worker("--concurrency", "1", "--queues", "aggregate", **root)
    assert stage.producer(*arguments, **root).returncode == 0
    again = stage.producer(*arguments, **root)
    assert (again.returncode, "finished before" in again.stderr) == (0, True)


def test_markup_in_a_folders_name_is_only_text(stage: Stage, sample: Path, tmp_path: Path) -> None:
    """Tables show markup as it is, and escape bytes that are not UTF-8."""
    root = tmp_path / "root"
    for name in (b"[/b] folder", b"caf\xe9"):
        folder = Path(os.fsdecode(os.fsencode(root) + b"/" + name))
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_bytes((sample / "hopper" / "smaller.jpg").read_bytes())
        done = stage.producer("enqueue", str(folder), FACEQUEUE_DATA_ROOT=str(root))
        assert done.returncode == 0, done.stderr
    listed = stage.producer("jobs")
    assert listed.returncode == 0, listed.stderr
    assert "[/b] folder" in listed.stdout
    assert "caf\\xe9" in listed.stdout


def test_cancelling_leaves_only_messages_behind_and_they_do_nothing(stage: Stage, sample: Path) -> None:
    """A worker drops them without a lease, even if the name is used again, and continues with the job behind them."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    assert stage.producer("enqueue", str(sample), "--job", "gone", "--batch-size", "1", **root).returncode == 0
    messages = stage.client.llen("embed")
    assert stage.producer("cancel", "gone").returncode == 0
    assert stage.client.llen("embed") == messages
    assert {key.decode() for key in stage.client.scan_iter(f"{PREFIX}job:*")} == {f"{PREFIX}job:gone"}
    assert 0 < stage.client.ttl(f"{PREFIX}job:gone") <= 60  # only the word for those who watch
    assert stage.producer("watch", "gone").returncode == 4
    assert stage.producer("enqueue", str(sample / "hopper"), "--job", "gone", **root).returncode == 0
    stage.worker("--concurrency", "1", **root)
    assert stage.producer("watch", "gone").returncode == 0
    assert stage.log("worker.log").count("not wanted: unknown") == messages
    assert stage.client.llen("embed") == 0


def test_a_killed_workers_batch_runs_again_within_seconds(stage: Stage, sample: Path) -> None:
    """The whole worker dies during a batch. Another one, started later, gets the batch."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    first = stage.worker("--concurrency", "1", **root)
    assert stage.producer("enqueue", str(sample), "--job", "killed", "--batch-size", "5", **root).returncode == 0
    leases = f"{PREFIX}job:killed:leases"
    wait_until(lambda: stage.client.zcard(leases) == 1, 60, "a batch is taken")
    os.killpg(first.pid, 9)
    first.wait()
    killed = time.monotonic()
    stage.worker("--concurrency", "1", **root)
    assert stage.producer("watch", "killed").returncode == 3
    assert time.monotonic() - killed < 30
    assert "was lost and is requeued" in stage.log("worker.log")


def test_a_lost_message_is_sent_again(stage: Stage, sample: Path) -> None:
    """Messages are removed from the queue, and the job record knows what is missing."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    assert stage.producer("enqueue", str(sample), "--job", "lost", "--batch-size", "5", **root).returncode == 0
    for _ in range(3):
        assert stage.client.lpop("embed")
    stage.worker("--concurrency", "1", **root)
    assert stage.producer("watch", "lost").returncode == 3


def test_results_that_cannot_be_written_are_written_later(stage: Stage, sample: Path) -> None:
    """The results folder is a file: there is a clear error, nothing is lost, and `aggregate` repeats the step."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    stage.results.write_text("in the way")
    stage.worker("--concurrency", "1", **root)
    done = stage.producer("enqueue", str(sample / "hopper"), "--wait", "--job", "late", **root)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr and "aggregate" in done.stderr
    stage.results.unlink()
    again = stage.producer("aggregate", "late")
    assert again.returncode == 0, again.stderr
    assert (stage.results / "late" / "distances.npy").exists()


def test_results_of_another_folder_are_not_replaced(stage: Stage, sample: Path, tmp_path: Path) -> None:
    """Its job is gone. The name is refused before anything is enqueued, and by an aggregator that alone sees the
    folder.
    """
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    stage.worker("--concurrency", "1", **root)
    assert stage.producer("enqueue", str(sample / "hopper"), "--wait", "--job", "mine", **root).returncode == 0
    before = {path.name: path.read_bytes() for path in (stage.results / "mine").iterdir() if path.is_file()}
    assert stage.producer("jobs", "--prune").returncode == 0
    other = ("enqueue", str(sample / "collins"), "--wait", "--job", "mine")
    early = stage.producer(*other, **root)
    assert early.returncode == 2, early.stderr
    assert str(sample / "hopper") in early.stderr and str(sample / "collins") in early.stderr
    assert "No job 'mine'" in stage.producer("status", "mine").stderr
    blind = stage.producer(*other, **root, FACEQUEUE_RESULTS_DIR=str(tmp_path / "elsewhere"))
    assert (blind.returncode, "Move that folder away" in blind.stderr) == (1, True), blind.stderr
    assert before == {path.name: path.read_bytes() for path in (stage.results / "mine").iterdir() if path.is_file()}
    (stage.results / "mine").rename(stage.results / "hopper")
    again = stage.producer("aggregate", "mine")
    assert again.returncode == 0, again.stderr
    assert stage.producer("jobs", "--prune").returncode == 0
    assert stage.producer(*other, **root).returncode == 0  # the same folder: replaced


def test_a_disk_without_room_is_noticed_before(stage: Stage, sample: Path) -> None:
    """The size limit of `auto` omits the matrix and says why."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample), "FACEQUEUE_DISTANCES_MAX_GIB": "0.0000001"}
    stage.worker("--concurrency", "1", **root)
    assert stage.producer("enqueue", str(sample / "hopper"), "--wait", "--job", "big", **root).returncode == 0
    summary = json.loads((stage.results / "big" / "summary.json").read_text())
    assert "limit for --distances auto" in summary["distances"]["reason"]
    assert not (stage.results / "big" / "distances.npy").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["watch", "nothing"], "No job 'nothing'"),
        (["cancel", "nothing"], "No job"),
        (["status", "nothing"], "No job"),
        (["enqueue", "/nowhere"], "There is no folder"),
        (["enqueue", "."], "not inside the data root"),
        (["enqueue", "."], "Move or mount the images there"),
        (["enqueue", "n" * 300], "cannot be read: File name too long"),
        (["sample", "n" * 300], "too long for this system"),
        (["run", ".", "--weights", "n" * 300], "too long for this system"),
        (["enqueue", ".", "--job", "a/b"], "cannot name a job"),
        (["aggregate", "nothing"], "No job"),
    ],
)
def test_wrong_usage_says_what_to_do(stage: Stage, arguments: list[str], says: str) -> None:
    """The exit code is 2, with one line and no traceback."""
    done = stage.producer(*arguments, FACEQUEUE_DATA_ROOT="/nonexistent")
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_no_server_says_what_to_do(tmp_path: Path, sample: Path) -> None:
    """The exit code is 4 after the configured time."""
    environment = os.environ | {
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "FACEQUEUE_SERVER_TIMEOUT_S": "0.5",
        "FACEQUEUE_DATA_ROOT": str(sample),
        "FACEQUEUE_STATE_DIR": str(tmp_path / "state"),
        "PYTHONPATH": str(ROOT),
    }
    for arguments in (["enqueue", str(sample)], ["status"], ["run", str(sample)]):
        done = subprocess.run(
            [sys.executable, "-m", "producer", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
        )
        assert done.returncode == 4, done.stderr
        assert "No server answers" in done.stderr
        assert "Traceback" not in done.stderr


def test_doctor_examines_everything(stage: Stage, sample: Path) -> None:
    """Without a worker it says how to start one. With one, everything is fine."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    before = stage.producer("doctor", **root)
    assert before.returncode == 4
    assert "FAIL workers: nobody serves embed and aggregate: `python -m worker` starts one" in before.stdout
    stage.worker("--concurrency", "1", **root)
    after = stage.producer("doctor", **root)
    assert after.returncode == 0, after.stdout
    assert after.stdout.count("ok  ") == 5
    assert "worker-" in stage.producer("workers").stdout


def test_flower_shows_readable_tasks_and_the_workers_resources(stage: Stage, sample: Path, tmp_path: Path) -> None:
    """A real Flower answers over HTTP during and after a job."""
    images = tmp_path / "slow"
    images.mkdir()
    for number, path in enumerate(sorted((sample / "hopper").iterdir())):
        (images / path.name).write_bytes(path.read_bytes() + b"%d" % number + MARKS["slow"])
    root = {"FACEQUEUE_DATA_ROOT": str(images)}
    port = stage.free_port()
    stage.spawn("producer", "flower", "--port", str(port), log="flower.log", **root, FACEQUEUE_FLOWER_PASSWORD="word")
    url = f"http://127.0.0.1:{port}"

    def get(path: str) -> object:
        try:
            answer = requests.get(url + path, auth=("facequeue", "word"), timeout=10)
        except requests.ConnectionError:
            return None
        return answer.json() if answer.ok else None

    def embedding() -> dict[str, Any]:
        tasks = dict(get("/api/tasks") or {}).values()  # type: ignore[call-overload]
        return next((task for task in tasks if task["name"] == "facequeue.embed_batch"), {"state": None})

    stage.spawn("tests.support.faulty_worker", "--concurrency", "1", log="worker.log", **root)
    wait_until(lambda: get("/api/workers?refresh=1"), 60, "Flower sees the worker")
    assert stage.producer("enqueue", str(images), "--job", "seen", **root).returncode == 0
    wait_until(lambda: embedding()["state"] == "STARTED", 30, "Flower sees the task at work")
    assert JobRecord(stage.client, "seen").load().images_done == 0
    assert embedding()["kwargs"] == "job=seen batch=0 images=9"
    assert stage.producer("watch", "seen").returncode == 0
    wait_until(lambda: embedding()["state"] == "SUCCESS", 30, "Flower sees its end")
    assert embedding()["runtime"] > 9 * SLOW_S
    assert embedding()["result"] == "stored: 9 images, 9 faces, 9 ok"

    def stats() -> dict[str, Any]:
        (worker,) = dict(get("/api/workers?refresh=1") or {"": {}}).values()  # type: ignore[call-overload]
        return dict(worker.get("stats", {}).get("psutil", {}))

    wait_until(lambda: stats().get("images_done") == 9, 20, "the next sample")
    figures = stats()
    assert figures["rss_mib"] > 50
    assert (figures["models_loaded"], figures["weights"]) == (1, "casia-webface")
