"""A producer's lease on its job, so that others notice when it has died."""

import threading
import time
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

import redis

from producer.submission.backpressure import Backpressure
from shared.config.logs import get_logger
from shared.domain.errors import InvalidRequest
from shared.domain.job import Job
from shared.store.enqueuing import LivingProducer
from shared.store.jobs import JobRecord

_log = get_logger("producer")
_BEATS_A_LEASE = 5
_PATIENCE_LEASES = 2  # a live producer renews its lease ten times meanwhile


class AnotherProducer(InvalidRequest):
    """A job has a producer that is alive."""

    def __init__(self, job: str) -> None:
        super().__init__(f"Another producer is putting job '{job}' into the queue just now.")
        self.job = job


def attach(backpressure: Backpressure, record: JobRecord, job: Job, lease_s: float, *, take_over: bool) -> str:
    """Makes this process the job's producer, and returns its token.

    AnotherProducer if another one is alive, unless this one is to `take_over` from it. A producer whose lease has not
    expired may have been killed a moment ago, so this waits until it renews the lease or the lease expires. The wait is
    measured by this process's clock, since the server's may have been set back.
    """
    if take_over:
        return backpressure.pass_through(partial(record.attach_producer, job.uid, lease_s))
    seen: LivingProducer | None = None
    give_up_at = time.monotonic() + _PATIENCE_LEASES * lease_s
    while True:
        answer = backpressure.pass_through(partial(record.attach_alone, job.uid, lease_s))
        if isinstance(answer, str):
            return answer
        if seen is not None and answer != seen:
            raise AnotherProducer(job.name)
        if time.monotonic() > give_up_at:
            return backpressure.pass_through(partial(record.attach_producer, job.uid, lease_s))
        seen = answer
        backpressure.pause(
            f"Job {job.name} had a producer until just now; waiting up to {lease_s:.0f} s to see whether it is alive"
        )


class Heartbeat:
    """While it is entered, a thread renews the producer's lease, whatever the producer is waiting for."""

    def __init__(self, record: JobRecord, uid: str, producer: str, lease_s: float) -> None:
        self._beat = partial(record.heartbeat, uid, producer)
        self._lease_s, self._stop = lease_s, threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name="producer-heartbeat")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the thread and releases the lease, so that the next producer need not wait."""
        self._stop.set()
        self._thread.join(self._lease_s)
        with suppress(redis.RedisError):  # the lease expires by itself
            self._beat(0.0)

    def _work(self) -> None:
        wanted = True
        while wanted and not self._stop.wait(self._lease_s / _BEATS_A_LEASE):
            try:
                wanted = self._beat(self._lease_s)
            except redis.RedisError:  # the producer reports an unreachable server
                continue
            except Exception:  # the thread continues: without it the producer would seem dead
                _log.exception("a heartbeat of the producer failed", extra={"action": "heartbeat_failed"})
