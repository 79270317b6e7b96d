"""The script that caches results (`worker/execution/cache_keep.lua`) respects its limit and counts each entry once."""

import msgpack
import pytest

from tests.support.stage import Stage
from worker.execution.result_cache import unpack_result
from worker.execution.server_cache import _script

INDEX, BYTES = "facequeue:cache:index", "facequeue:cache:bytes"
TTL_S = 600
VALUE = b"v" * 1000
SIZE = len(VALUE) + 2 * len("a") + 100
"""The size that the script counts for an entry with a key of one letter."""


def _keep(stage: Stage, *keys: str, most: int = 10 * SIZE) -> int:
    script = stage.client.register_script(_script())
    return int(script(keys=[INDEX, BYTES, *keys], args=[TTL_S, most, *[VALUE] * len(keys)]))


def _total(stage: Stage) -> int:
    return int(stage.client.get(BYTES))


def test_results_are_kept_up_to_the_limit(server: Stage) -> None:
    """Exactly up to the limit and for the configured time. What does not fit is left out."""
    server.client.flushall()
    assert _keep(server, "a", "b", most=2 * SIZE) == 2
    assert _keep(server, "c", most=3 * SIZE - 1) == 0
    assert (server.client.get("a"), server.client.get("c"), _total(server)) == (VALUE, None, 2 * SIZE)
    assert 0 < server.client.ttl("a") <= TTL_S
    assert _keep(server, "c", most=3 * SIZE) == 1


def test_what_is_kept_already_is_not_counted_again(server: Stage) -> None:
    """Two workers compute copies of a file at once."""
    server.client.flushall()
    _keep(server, "a")
    server.client.set("a", b"first")
    assert _keep(server, "a", "b") == 1
    assert (server.client.get("a"), _total(server)) == (b"first", 2 * SIZE)


def _packed(**changes: object) -> bytes:
    values = {"outcome": "ok", "error": "", "faces": [[1.0, 2.0, 3.0, 4.0, 0.9, *[2.0] * 15]], "width": 9, "height": 9}
    return bytes(msgpack.packb(values | {"embeddings": bytes(4 * 512)} | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"faces": 7},
        {"faces": ["abcde"]},
        {"faces": [[1.0, 2.0]]},
        {"width": "wide"},
        {"error": [1]},
        {"outcome": "crashed"},
        {"embeddings": "text"},
        {"embeddings": b"123"},
        {"embeddings": bytes(4 * 128)},
        {"thumbnails": "text"},
        {"thumbnails": [b"<script>"]},
        {"thumbnails": [b"\xff\xd8\xff"] * 2},
    ],
)
def test_a_result_of_other_types_is_not_recalled(changes: dict[str, object]) -> None:
    """Otherwise anyone who can write to the server could stop the aggregation of each job that uses it."""
    assert unpack_result(_packed(), 512) is not None
    assert unpack_result(_packed(**changes), 512) is None


def test_what_has_expired_makes_room_and_is_counted_once(server: Stage) -> None:
    """The server expires a value by itself. The index is updated at the next call."""
    server.client.flushall()
    _keep(server, "a", "b", most=2 * SIZE)
    server.client.delete("a")
    assert _keep(server, "a", most=3 * SIZE) == 1
    assert _total(server) == 2 * SIZE  # in the index still
    server.client.delete("b")
    (old,) = (member for member in server.client.zrange(INDEX, 0, -1) if member.endswith(b":b"))
    server.client.zadd(INDEX, {old: 1})
    assert _keep(server, "c", most=2 * SIZE) == 1
    assert _total(server) == 2 * SIZE
    assert sorted(server.client.zrange(INDEX, 0, -1)) == [b"%d:a" % SIZE, b"%d:c" % SIZE]
