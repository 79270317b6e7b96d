"""The server's answers about its disk: nothing is removed before its replacement is safe."""

import os
import time
from pathlib import Path

import psutil
import pytest

from producer.local.redis_server import find_server_binary
from shared.store.redis_client import connect, wait_for_disk
from tests.support.home import TEST_SERVER
from tests.support.jobs import make_job
from tests.support.stage import Stage
from worker.aggregation.hidden_names import spill_path
from worker.aggregation.spilling import remove_spill_file

_QUICK_S = 1.5
"""Less than any wait, with some margin for a slow machine."""


def _can_tell(stage: Stage) -> bool:
    """Whether the server has WAITAOF."""
    return "waitaof" in stage.client.command()


@pytest.fixture
def telling(stage: Stage) -> Stage:
    """A server that can confirm what is on its disk."""
    if not _can_tell(stage):
        pytest.skip("this server has no WAITAOF")
    return stage


def test_the_tests_run_on_the_server_that_is_asked_for(stage: Stage) -> None:
    """`FACEQUEUE_TEST_SERVER` names its program."""
    program = os.environ.get(TEST_SERVER) or find_server_binary()
    running = psutil.Process(int(stage.client.info("server")["process_id"])).exe()
    assert Path(running) == Path(program).resolve()


def test_the_disk_is_confirmed_for_what_any_connection_wrote(telling: Stage) -> None:
    """A connection without writes of its own must not get a wrong answer, even if memory is full."""
    telling.client.set("before", 1)
    assert wait_for_disk(connect(telling.settings)) is True
    telling.client.config_set("appendfsync", "no")
    telling.client.set("after", 1)
    assert wait_for_disk(connect(telling.settings)) is False
    telling.client.config_set("appendfsync", "everysec")
    telling.client.config_set("maxmemory", 1)
    assert wait_for_disk(connect(telling.settings)) is True


def test_a_server_without_a_log_is_not_waited_for(telling: Stage) -> None:
    """Such a server never confirms anything."""
    telling.client.config_set("appendonly", "no")
    began = time.monotonic()
    assert wait_for_disk(telling.client) is True
    assert time.monotonic() - began < _QUICK_S


def test_a_server_that_cannot_tell_is_given_the_time_to_write(stage: Stage) -> None:
    """Before Redis 7.2, or without permission to ask, the log is synced every second."""
    if _can_tell(stage):
        stage.client.execute_command("ACL", "SETUSER", "default", "-waitaof")
    began = time.monotonic()
    assert wait_for_disk(stage.client) is True
    assert time.monotonic() - began > 1


def test_a_spill_file_stays_until_the_end_of_its_job_is_on_the_disk(telling: Stage) -> None:
    """Otherwise a server that lost its last second would have an unfinished job without its blocks."""
    _, job = make_job(telling)
    path = spill_path(job, telling.results)
    path.parent.mkdir()
    path.write_bytes(b"blocks")
    telling.client.config_set("appendfsync", "no")
    remove_spill_file(telling.client, job, telling.results)
    assert path.exists()
    telling.client.config_set("appendfsync", "everysec")
    remove_spill_file(telling.client, job, telling.results)
    assert not path.exists()


def test_enqueuing_says_that_the_job_is_not_on_the_disk(telling: Stage, sample: Path) -> None:
    """The job continues, and the message tells what a power failure would cost."""
    telling.client.config_set("appendfsync", "no")
    done = telling.producer("enqueue", str(sample / "hopper"), "--job", "frail", FACEQUEUE_DATA_ROOT=str(sample))
    assert done.returncode == 0, done.stderr
    assert "does not confirm that job frail is on its disk" in done.stderr
    telling.client.config_set("appendfsync", "everysec")
    done = telling.producer("enqueue", str(sample / "hopper"), "--job", "safe", FACEQUEUE_DATA_ROOT=str(sample))
    assert (done.returncode, "disk" in done.stderr) == (0, False)
