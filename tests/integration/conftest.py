"""Fixtures: one server for all tests of a file, and a fresh job on it for each."""

from collections.abc import Iterator
from typing import Any

import pytest

from shared.domain.job import Job
from shared.store.keys import PREFIX
from shared.store.leases import Lease
from tests.support.guarded_transport import use_it_in_this_test
from tests.support.jobs import add_batch, make_job
from tests.support.stage import Stage

LONG_S = 600
"""A lease that does not expire during a test."""


class FreshJob:
    """A new job with its producer, and shortcuts to the states that the scripts distinguish."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.client = stage, stage.client
        self.record, self.job = make_job(stage)
        self.uid = self.job.uid
        self.producer = self.record.attach_producer(self.uid)

    def add(self, batch: int = 0, *paths: str) -> int:
        """Adds a batch whose turn it is at once; returns its send number."""
        return add_batch(self.record, self.uid, self.producer, batch, list(paths or [f"{batch}.jpg"]))

    def take(self, batch: int = 0, send: int = 1, holder: str = "w/1", lease_s: float = LONG_S) -> Lease | str:
        """Leases a batch, or returns why not."""
        return self.record.take(self.uid, batch, send, holder, lease_s)

    def commit(self, batch: int = 0, block: bytes = b"block") -> str:
        """Commits a block of one image with one face."""
        return self.record.commit(self.uid, batch, block, {"ok": 1}, 1)

    def seal(self) -> bool:
        """Seals the job."""
        return self.record.seal(self.uid, self.producer)

    def complete(self, batches: int = 1) -> None:
        """Adds and commits batches, then seals the job."""
        for batch in range(batches):
            send = self.add(batch)
            assert isinstance(self.take(batch, send), Lease)
            assert self.commit(batch) == "stored"
        assert self.seal()

    def finish(self, failed: dict[int, str] | None = None, holder: str = "w/9") -> str:
        """Leases the aggregation and marks the job finished."""
        assert self.record.claim_aggregation(holder, LONG_S)
        return self.record.finish(self.load(), holder, LONG_S, failed or {})

    def half_cancelled(self) -> None:
        """Makes the job look as if the cancelling process died after it set the state."""
        self.client.hset(self.key(), "state", "cancelled")

    def run_out(self, batch: int = 0) -> None:
        """Makes a batch's lease expire."""
        assert self.client.zadd(self.key("leases"), {str(batch): 1}, xx=True, ch=True) == 1

    def load(self) -> Job:
        """The job as it is now."""
        return self.record.load()

    def key(self, part: str = "") -> str:
        """A key of the record."""
        return f"{PREFIX}job:{self.record.name}" + (f":{part}" if part else "")

    def snapshot(self) -> dict[bytes, Any]:
        """Everything on the server, to check that a refused call changes nothing."""
        reads = {
            b"string": self.client.get,
            b"hash": self.client.hgetall,
            b"zset": lambda key: self.client.zrange(key, 0, -1, withscores=True),
            b"list": lambda key: self.client.lrange(key, 0, -1),
        }
        return {key: reads[self.client.type(key)](key) for key in self.client.scan_iter("*", count=1000)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for a file's tests."""
    made = Stage(tmp_path_factory.mktemp("server"))
    yield made
    made.close()


@pytest.fixture
def fresh(server: Stage) -> FreshJob:
    """A new job on an otherwise empty server."""
    server.client.flushall()
    return FreshJob(server)


@pytest.fixture
def guarded_transport(monkeypatch: pytest.MonkeyPatch, server: Stage) -> Iterator[None]:
    """Messages are sent as in a worker. The server's memory limit is removed afterward."""
    use_it_in_this_test(monkeypatch)
    yield
    server.client.config_set("maxmemory", 0)
