"""The server of deploy/kubernetes, started by its script, and the metric that its workers are scaled on."""

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from producer.local.redis_server import find_server_binary
from producer.monitoring.prometheus import QueueCollector
from shared.config.settings import Settings
from shared.domain.options import Options
from shared.domain.paths import RootPath
from shared.domain.queues import AGGREGATE, EMBED
from shared.messaging.celery_app import make_celery
from shared.store.foreign_keys import set_aside_foreign_keys
from shared.store.jobs import JobRecord
from shared.store.keys import REGISTRY
from shared.store.redis_client import connect
from shared.store.registry import enter_all_jobs
from tests.support.jobs import CONTRACT, add_batch
from tests.support.manifests import KUBERNETES, resources
from tests.support.stage import Stage, wait_until

SCRIPT = KUBERNETES / "components" / "server" / "start.sh"
PASSWORD = 'it\'s a "pass word" $HOME'


def _start(folder: Path, password: str, *arguments: str) -> subprocess.Popen[str]:
    binary = Path(find_server_binary())
    (folder / "redis-server").symlink_to(binary)
    variables = {"PATH": f"{folder}:{os.environ['PATH']}", "TMPDIR": str(folder)}
    return subprocess.Popen(
        ["sh", SCRIPT, *arguments],
        env=variables | {"REDISCLI_AUTH": password, "REDIS_MAXMEMORY": "64mb"},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Settings of a client of a server that the script has started, by password and port alone."""
    port = Stage.free_port()
    process = _start(tmp_path, PASSWORD, "--port", str(port))
    settings = Settings(_env_file=None, redis_url=None, redis_password=PASSWORD, redis_port=port)

    def answers() -> bool:
        try:
            return bool(connect(settings).ping())
        except redis.RedisError:
            assert process.poll() is None, process.communicate()[0]
            return False

    try:
        wait_until(answers, 30, "the server answers")
        yield settings
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("password", ["", "facequeue"])
def test_the_server_refuses_a_password_that_everybody_knows(tmp_path: Path, password: str) -> None:
    """The manifests have no password of their own; one line says where to set it."""
    process = _start(tmp_path, password)
    said = process.communicate(timeout=30)[0]
    assert process.returncode == 2
    assert said == "Set FACEQUEUE_REDIS_PASSWORD in the Secret facequeue-server to a password of your own.\n"


def test_workers_are_scaled_on_waiting_and_leased_batches(settings: Settings) -> None:
    """The query names metrics that the exporter has, and counts a batch that is leased while its queue is empty. The
    server's users can do all that this takes, and cannot change the server.
    """
    scaled = resources()["components/keda/scaled-object.yaml:ScaledObject:worker"]["spec"]
    (trigger,) = scaled["triggers"]
    query = trigger["metadata"]["query"]
    client = connect(settings)
    record = JobRecord(client, "j")
    options = Options(folder=RootPath("."), batch_size=2, distances="auto")
    job, _ = record.create(origin="o", source="s", contract=CONTRACT, options=options, queue_prefix="")
    batch = add_batch(record, job.uid, record.attach_producer(job.uid), 0, [RootPath("a.jpg")])
    record.take(job.uid, 0, batch, "w/1", 60)

    def measured(name: str) -> float:
        metrics = {metric.name: metric.samples for metric in QueueCollector(client, settings).collect()}
        return sum(sample.value for sample in metrics[name] if sample.labels.get("queue", "embed") == "embed")

    names = re.findall(r"facequeue_\w+", query)
    assert {name: measured(name) for name in names} == {
        "facequeue_queue_length": 0,
        "facequeue_batches_in_flight": 1,
    }
    client.rpush("embed", b"waiting")
    assert sum(map(measured, names)) == 2
    (pattern,) = re.findall(r'queue=~"([^"]*)"', query)
    matched = [queue for queue in (EMBED, AGGREGATE, f"other.{EMBED}") if re.fullmatch(pattern, queue)]
    assert matched == [EMBED, f"other.{EMBED}"]
    client.delete(REGISTRY)
    client.set(REGISTRY, "7")
    assert set_aside_foreign_keys(client, "") == [REGISTRY]
    enter_all_jobs(client)
    assert client.zrange(REGISTRY, 0, -1) == [b"j"]
    for command in (("CONFIG", "GET", "dir"), ("FLUSHALL",), ("SHUTDOWN",)):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command)


def test_celery_notices_a_server_whose_machine_has_died(settings: Settings) -> None:
    """After a minute, not after the system's quarter of an hour: its publishing has no other timeout."""
    with make_celery(settings).connection() as connection:
        pool = connection.default_channel.client.connection_pool
        with closing(pool.get_connection()._sock) as to_server:
            assert to_server.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
            assert to_server.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
