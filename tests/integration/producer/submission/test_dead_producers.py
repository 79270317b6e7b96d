"""A dead producer is noticed, and the suggested command resumes its job. A live one is left alone."""

import re
import shlex
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from producer.cli.resume_command import command_to_resume
from shared.domain.contract import own_weights_name
from shared.domain.job import Job
from shared.store.jobs import list_jobs
from shared.store.redis_client import server_time_ms
from tests.support.jobs import make_job
from tests.support.stage import Stage, wait_until

LEASE_S = 3  # of the stage
PATIENT = {"FACEQUEUE_WORKER_TIMEOUT_S": "300"}  # no worker comes for a while in these tests
ONE_BY_ONE = ("--batch-size", "1")


def _root(sample: Path, **more: str) -> dict[str, str]:
    return {"FACEQUEUE_DATA_ROOT": str(sample), **more}


def _stuck(stage: Stage, sample: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A producer in the middle of the folder: its window is full, and there is no worker."""
    process = stage.spawn(
        "producer",
        "enqueue",
        str(sample),
        *arguments,
        log="producer.log",
        **_root(sample, FACEQUEUE_WINDOW_BATCHES="2", **PATIENT),
    )
    wait_until(lambda: stage.client.llen("embed") == 2, 30, "it is in the middle")
    return process


def _job(stage: Stage) -> Job:
    (job,) = list_jobs(stage.client)
    return job


def _end(process: subprocess.Popen[bytes], number: int) -> None:
    process.send_signal(number)
    process.wait(30)


def _outlive_its_lease(stage: Stage) -> None:
    until_ms = _job(stage).producer_until_ms
    assert until_ms is not None
    wait_until(lambda: server_time_ms(stage.client) > until_ms + 500, 30, "the lease of before is over")


def test_watch_names_the_command_that_goes_on(stage: Stage, sample: Path) -> None:
    """The exit code is 4 within seconds, also of `status`. The command, copied as printed, does the rest."""
    options = (
        *ONE_BY_ONE,
        "--job",
        "dead",
        "--faces",
        "all",
        "--margin",
        "7",
        "--mirror",
        "--precision",
        "bf16",
        "--exact",
        "--distances",
        "none",
    )
    producer = _stuck(stage, sample, *options)
    assert stage.producer("status", "dead").returncode == 0
    watching = stage.spawn("producer", "watch", "dead", log="watch.log")
    _end(producer, signal.SIGKILL)
    assert watching.wait(30) == 4, stage.log("watch.log")
    said = stage.log("watch.log").splitlines()[-1]
    assert "The producer of job 'dead' is gone" in said
    status = stage.producer("status", "dead")
    assert (status.returncode, "producer gone" in status.stdout) == (4, True)
    assert said in status.stderr
    assert "producer gone" in stage.producer("status").stdout
    (command,) = re.findall("`(.*)`", said)
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "producer"]
    done = stage.producer(*words[3:], **_root(sample))
    assert done.returncode == 0, done.stderr
    assert (_job(stage).state, _job(stage).images, _job(stage).batches) == ("sealed", 25, 25)


def test_the_same_command_goes_on_with_a_dead_producers_job(stage: Stage, sample: Path) -> None:
    """Even if it is repeated at once, there is one job with every image once."""
    _end(_stuck(stage, sample, *ONE_BY_ONE), signal.SIGKILL)
    for says in ("Resuming job", "of this folder is unfinished"):
        done = stage.producer("enqueue", str(sample), *ONE_BY_ONE, **_root(sample))
        assert (done.returncode, says in done.stderr) == (0, True), done.stderr
        assert (_job(stage).state, _job(stage).images, _job(stage).batches) == ("sealed", 25, 25)
    other = stage.producer("enqueue", str(sample), *ONE_BY_ONE, "--new", **_root(sample))
    assert other.returncode == 0, other.stderr
    assert [job.images for job in list_jobs(stage.client)] == [25, 25]
    taken = stage.producer("enqueue", str(sample), *ONE_BY_ONE, "--new", "--job", _names(stage)[0], **_root(sample))
    assert (taken.returncode, "is there already" in taken.stderr) == (2, True)


def _names(stage: Stage) -> list[str]:
    return [job.name for job in list_jobs(stage.client)]


@pytest.mark.parametrize("named", [True, False], ids=["by name", "by folder"])
def test_a_live_producer_is_left_alone(stage: Stage, sample: Path, named: bool) -> None:
    """Even while its window is full. A second command reports it, and the first one finishes its job."""
    arguments = (*ONE_BY_ONE, *(("--job", "j") if named else ()))
    first = _stuck(stage, sample, *arguments)
    watching = stage.spawn("producer", "watch", _job(stage).name, log="watch.log", **PATIENT)
    _outlive_its_lease(stage)
    second = stage.producer("enqueue", str(sample), *arguments, **_root(sample))
    assert (second.returncode, "Another producer is putting" in second.stderr) == (2, True), second.stderr
    assert f"watch {_job(stage).name}" in second.stderr and "--new" in second.stderr
    assert (first.poll(), watching.poll()) == (None, None)
    stage.client.config_set("maxmemory", 1)  # signs of life take no memory that a full server must have left
    _outlive_its_lease(stage)
    assert (first.poll(), watching.poll()) == (None, None)
    stage.client.config_set("maxmemory", 0)
    stage.worker("--concurrency", "1", **_root(sample))
    assert first.wait(60) == 0, stage.log("producer.log")
    assert watching.wait(60) == 3, stage.log("watch.log")


def test_a_producer_that_leaves_in_good_order_need_not_be_waited_for(stage: Stage, sample: Path) -> None:
    """After Ctrl-C, the same command continues at once."""
    producer = _stuck(stage, sample, *ONE_BY_ONE)
    _end(producer, signal.SIGINT)
    assert producer.returncode == 4
    assert _job(stage).producer_silent_s(server_time_ms(stage.client)) > 0
    done = stage.producer("enqueue", str(sample), *ONE_BY_ONE, **_root(sample))
    assert (done.returncode, "had a producer" in done.stderr) == (0, False), done.stderr


def test_a_server_that_was_away_makes_no_producer_look_dead(stage: Stage, sample: Path) -> None:
    """The server is unreachable for longer than the lease. Watching commands give the producer time to renew it."""
    producer = _stuck(stage, sample, *ONE_BY_ONE)
    watching = stage.spawn("producer", "watch", _job(stage).name, log="watch.log", **PATIENT)
    wait_until(lambda: "0/2+ images" in stage.log("watch.log"), 30, "it is watched")
    stage.server.kill()
    away = time.monotonic()
    wait_until(lambda: time.monotonic() - away > LEASE_S + 1, 30, "the lease is over")
    stage.server.start()
    gone_until = _job(stage).producer_until_ms
    wait_until(lambda: _job(stage).producer_until_ms != gone_until, 30, "it says that it lives")
    _outlive_its_lease(stage)
    assert (producer.poll(), watching.poll()) == (None, None), stage.log("watch.log")


def test_the_command_is_that_of_whoever_made_the_job(stage: Stage) -> None:
    """`run` and `retry` resume with their own command, and own weights are named."""
    _, job = make_job(stage)
    job = replace(job, source="/photos of mine")
    common = "--faces largest --margin 32 --batch-size 2"
    assert command_to_resume(job) == f"python -m producer enqueue '/photos of mine' --job j {common}"
    own = replace(job.contract, weights=own_weights_name("mine"))
    assert command_to_resume(replace(job, contract=own)).endswith("--weights mine.pt")
    of_own = replace(job.contract, model="own-mine", weights="own-mine", alignment="five-points")
    assert command_to_resume(replace(job, contract=of_own)).endswith("--batch-size 2 --model mine.onnx")
    inline = replace(job.options, inline=True)
    assert command_to_resume(replace(job, options=inline)).endswith("--inline")
    assert command_to_resume(replace(job, retries=1)) == "python -m producer retry j"
    run = replace(job, queue_prefix="run-0123-")
    assert command_to_resume(run) == f"python -m producer run '/photos of mine' --job j {common}"
