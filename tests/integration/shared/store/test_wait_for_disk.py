"""The server's answers about its disk: nothing is removed before its replacement is safe."""

import time
from pathlib import Path

from shared.store.redis_client import connect, wait_for_disk
from tests.support.jobs import make_job
from tests.support.stage import Stage
from worker.aggregation.hidden_names import spill_path
from worker.aggregation.spilling import remove_spill_file

_QUICK_S = 1.5
"""Less than any wait, with some margin for a slow machine."""


def test_the_disk_is_confirmed_for_what_any_connection_wrote(stage: Stage) -> None:
    """A connection without writes of its own must not get a wrong answer, even if memory is full."""
    stage.client.set("before", 1)
    assert wait_for_disk(connect(stage.settings)) is True
    stage.client.config_set("appendfsync", "no")
    stage.client.set("after", 1)
    assert wait_for_disk(connect(stage.settings)) is False
    stage.client.config_set("appendfsync", "everysec")
    stage.client.config_set("maxmemory", 1)
    assert wait_for_disk(connect(stage.settings)) is True


def test_a_server_without_a_log_is_not_waited_for(stage: Stage) -> None:
    """Such a server never confirms anything."""
    stage.client.config_set("appendonly", "no")
    began = time.monotonic()
    assert wait_for_disk(stage.client) is True
    assert time.monotonic() - began < _QUICK_S


def test_a_server_that_cannot_tell_is_given_the_time_to_write(stage: Stage) -> None:
    """Before Redis 7.2, or without permission to ask, the log is synced every second."""
    stage.client.execute_command("ACL", "SETUSER", "default", "-waitaof")
    began = time.monotonic()
    assert wait_for_disk(stage.client) is True
    assert time.monotonic() - began > 1


def test_a_spill_file_stays_until_the_end_of_its_job_is_on_the_disk(stage: Stage) -> None:
    """Otherwise a server that lost its last second would have an unfinished job without its blocks."""
    _, job = make_job(stage)
    path = spill_path(job, stage.results)
    path.parent.mkdir()
    path.write_bytes(b"blocks")
    stage.client.config_set("appendfsync", "no")
    remove_spill_file(stage.client, job, stage.results)
    assert path.exists()
    stage.client.config_set("appendfsync", "everysec")
    remove_spill_file(stage.client, job, stage.results)
    assert not path.exists()


def test_enqueuing_says_that_the_job_is_not_on_the_disk(stage: Stage, sample: Path) -> None:
    """The job continues, and the message tells what a power failure would cost."""
    stage.client.config_set("appendfsync", "no")
    done = stage.producer("enqueue", str(sample / "hopper"), "--job", "frail", FACEQUEUE_DATA_ROOT=str(sample))
    assert done.returncode == 0, done.stderr
    assert "does not confirm that job frail is on its disk" in done.stderr
    stage.client.config_set("appendfsync", "everysec")
    done = stage.producer("enqueue", str(sample / "hopper"), "--job", "safe", FACEQUEUE_DATA_ROOT=str(sample))
    assert (done.returncode, "disk" in done.stderr) == (0, False)
