"""The thread that renews a producer's lease."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from producer.submission.heartbeat import Heartbeat


@pytest.mark.parametrize("error", [redis.ConnectionError("away"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "why")])
def test_a_heartbeat_that_fails_is_followed_by_the_next(error: Exception) -> None:
    """After any error the thread continues: without it the producer would seem dead."""
    beats, again = [], threading.Event()

    def beat(uid: str, producer: str, lease_s: float) -> bool:
        beats.append(lease_s)
        if len(beats) == 1:
            raise error
        again.set()
        return True

    record: Any = SimpleNamespace(heartbeat=beat)
    with Heartbeat(record, "u", "p", 0.05):
        assert again.wait(20)
