"""Jobs, messages and results that another version of facequeue has made: finished, or refused by name."""

import base64
import json
import signal
import subprocess
import sys
from pathlib import Path

from shared.domain.contract import PIPELINE_VERSION
from shared.domain.queues import own_queue
from shared.store.dead_letters import list_dead_letters
from shared.store.jobs import JobRecord
from shared.store.keys import PREFIX
from tests.support.results import result_bytes
from tests.support.stage import WORKER_LOG, Stage, wait_until

UNREAD = "another version of facequeue made it"


def _next(stage: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of the producer of the next version."""
    command = [sys.executable, "-m", "tests.support.next_version", "producer", *arguments]
    return subprocess.run(command, env=stage.environment, capture_output=True, text=True, timeout=120, cwd=stage.folder)


def _change_a_message(stage: Stage) -> None:
    """Makes a message in the queue one of another version."""
    envelope = json.loads(stage.client.lpop("embed"))
    body = json.loads(base64.b64decode(envelope["body"]))
    body[1]["message"]["version"] = 2
    envelope["body"] = base64.b64encode(json.dumps(body).encode()).decode()
    stage.client.lpush("embed", json.dumps(envelope))


def test_workers_of_two_versions_share_a_server(stage: Stage, sample: Path, tmp_path: Path) -> None:
    """A job whose record a worker cannot read is passed on to those that can, and status and watch say why it waits. A
    message of another version is a dead letter, and its batch is sent again. Neither costs other jobs anything, and the
    results have the same bytes.
    """
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(6):
        (photos / f"{number}.jpg").write_bytes((sample / "hopper" / "smaller.jpg").read_bytes() + b"%d" % number)
    stage.environment["FACEQUEUE_DATA_ROOT"] = str(photos)
    enqueue = ("enqueue", str(photos), "--batch-size", "2", "--job")

    assert stage.producer(*enqueue, "mine").returncode == 0
    _change_a_message(stage)
    queue = own_queue("", JobRecord(stage.client, "mine").load().uid)
    stage.spawn("tests.support.next_version", "worker", "--concurrency", "1", log=WORKER_LOG)
    wait_until(lambda: stage.client.llen(queue) == 2, 120, "two messages are passed on")
    wait_until(lambda: list_dead_letters(stage.client), 30, "the third is refused")
    assert ["version" in letter.reason for letter in list_dead_letters(stage.client)] == [True]
    assert UNREAD in stage.producer("status", "mine").stdout
    watched = stage.producer("watch", "mine", FACEQUEUE_WORKER_TIMEOUT_S="1")
    assert (watched.returncode, UNREAD in watched.stderr) == (4, True), watched.stderr
    assert stage.log(WORKER_LOG).count("does not serve job mine") == 1

    theirs = _next(stage, *enqueue, "theirs", "--wait")
    assert theirs.returncode == 0, theirs.stderr
    listed = _next(stage, "jobs")
    assert (listed.returncode, "theirs" in listed.stdout, UNREAD in listed.stderr) == (0, True, True)
    unread = _next(stage, "status", "mine")
    assert (unread.returncode, unread.stderr.count("\n"), UNREAD in unread.stderr) == (2, 1, True)

    stage.processes.pop().terminate()  # its reconciler cannot send this job's messages again
    stage.worker("--concurrency", "1")
    followed = stage.producer("watch", "mine")
    assert followed.returncode == 0, followed.stderr + stage.log(WORKER_LOG)
    assert result_bytes(stage.results / "mine") == result_bytes(stage.results / "theirs")

    _refuses_another_pipeline(stage, enqueue)


def _refuses_another_pipeline(stage: Stage, enqueue: tuple[str, ...]) -> None:
    """A job, and results to update, that say of faces what another version says."""
    worker = stage.processes[-1]
    worker.send_signal(signal.SIGSTOP)
    assert stage.producer(*enqueue, "later").returncode == 0
    contract = JobRecord(stage.client, "later").load().contract.as_dict()
    later = json.dumps(contract | {"pipeline_version": PIPELINE_VERSION + 1})
    stage.client.hset(f"{PREFIX}job:later", "contract", later)
    worker.send_signal(signal.SIGCONT)
    reason = f"pipeline_version: {PIPELINE_VERSION + 1} there, {PIPELINE_VERSION} here"
    wait_until(lambda: JobRecord(stage.client, "later").refusals(), 60, "the worker refuses")
    assert reason in stage.producer("status", "later").stdout
    assert JobRecord(stage.client, "later").load().images_done == 0
    stage.client.hset(f"{PREFIX}job:later", "origin", "that of the version after")
    again = stage.producer(*enqueue, "later")
    assert again.returncode == 2
    assert f"the pipeline's version was {PIPELINE_VERSION + 1}, now {PIPELINE_VERSION}" in again.stderr

    summary = stage.results / "mine" / "summary.json"
    values = json.loads(summary.read_text())
    values["contract"]["pipeline_version"] = PIPELINE_VERSION - 1
    values["origin"] = "that of the version before"
    summary.write_text(json.dumps(values))
    before = result_bytes(stage.results / "mine")
    stage.client.flushdb()
    update = stage.producer(*enqueue, "mine")
    assert update.returncode == 2
    assert f"the pipeline's version was {PIPELINE_VERSION - 1}, now {PIPELINE_VERSION}" in update.stderr
    assert update.stderr.count("\n") == 1
    assert result_bytes(stage.results / "mine") == before
