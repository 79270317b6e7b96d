"""Messages that are not of facequeue are refused, kept as dead letters, and do not affect others."""

import base64
import csv
import json
import logging
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis

from shared.messaging.celery_app import make_celery
from shared.messaging.messages import AGGREGATE_TASK, EMBED_TASK
from shared.store.dead_letters import (
    DEAD_LETTERS,
    MOST_BODY_CHARACTERS,
    MOST_LETTERS,
    clear_dead_letters,
    list_dead_letters,
    park,
)
from tests.support.stage import Stage, wait_until

MESSAGE = {"version": 1, "job": "j", "uid": "0" * 32, "batch": 0, "send": 1, "images": ["a.jpg"]}
MEGABYTES = 10 * 2**20


def _template(stage: Stage) -> dict[str, Any]:
    """A message as kombu puts it into the queue's list."""
    make_celery(stage.settings).send_task(EMBED_TASK, kwargs={"message": MESSAGE}, queue="embed")
    found: dict[str, Any] = json.loads(stage.client.rpop("embed"))
    return found


def _encode(content: object) -> str:
    return base64.b64encode(content if isinstance(content, bytes) else json.dumps(content).encode()).decode()


Entry = tuple[bytes, str]
"""An entry of the queue's list, and a part of the reason for which it is refused."""


def _with_envelope(template: dict[str, Any], says: str, **change: object) -> Entry:
    return json.dumps(template | change).encode(), says


def _with_headers(template: dict[str, Any], says: str, **change: object) -> Entry:
    return _with_envelope(template, says, headers=template["headers"] | change)


def _with_properties(template: dict[str, Any], says: str, **change: object) -> Entry:
    return _with_envelope(template, says, properties=template["properties"] | change)


def _with_message(template: dict[str, Any], says: str, **change: object) -> Entry:
    return _with_envelope(template, says, body=_encode([[], {"message": MESSAGE | change}, {}]))


def _bad_bytes() -> list[Entry]:
    """Entries that are not even an envelope."""
    return [
        (os.urandom(1000), "not JSON"),
        (b"\0", "not JSON"),
        (os.urandom(MEGABYTES), "not JSON"),
        (b"[" * MEGABYTES, "not JSON"),
        (b'{"a":"' + b"A" * MEGABYTES + b'"}', "envelope: body"),
        (b"[1, 2]", "envelope: message: not an object"),
        (b'"text"', "not an object"),
        (b"{}", "envelope: body"),
        (b'{"__type__": "datetime", "__value__": "never"}', "not JSON"),
    ]


def _bad_envelopes(template: dict[str, Any]) -> list[Entry]:
    """Entries that kombu could not deliver or acknowledge."""
    return [
        *(
            (json.dumps({k: v for k, v in template.items() if k != part}).encode(), part)
            for part in ("body", "properties", "headers")
        ),
        _with_envelope(template, "Incorrect padding", body="abc"),
        _with_envelope(template, "compressed", headers=template["headers"] | {"compression": "zlib"}),
        _with_properties(template, "delivery_tag", delivery_tag=None),
        _with_properties(template, "delivery_info", delivery_info={}),
        _with_properties(template, "another queue", delivery_info={"exchange": "", "routing_key": DEAD_LETTERS}),
        _with_properties(template, "body_encoding", body_encoding="rot13"),
    ]


def _bad_tasks(template: dict[str, Any]) -> list[Entry]:
    """Entries whose headers or body violate Celery's protocol, or call an unknown task."""
    return [
        _with_envelope(template, "no task", headers={}),
        _with_headers(template, "unknown task no.such.task", task="no.such.task"),
        _with_headers(template, "unknown task celery.map", task="celery.map"),
        _with_headers(template, "unknown task", task=["a"]),
        _with_headers(template, "headers: id", id=None),
        _with_headers(template, "timelimit", timelimit="soon"),
        _with_headers(template, "eta", eta="2099-01-01T00:00:00"),
        _with_headers(template, "expires", expires="2000-01-01T00:00:00"),
        _with_headers(template, "headers: get", get=1),
        _with_envelope(template, "cannot be decoded", body=_encode(b"no JSON")),
        _with_envelope(template, "cannot be decoded", body=_encode(os.urandom(1000))),
        _with_envelope(template, "cannot be decoded", body=_encode(b"A" * MEGABYTES)),
        _with_envelope(template, "untrusted content", **{"content-type": "application/x-python-serialize"}),
        _with_envelope(template, "body", body=_encode(5)),
        _with_envelope(template, "body", body=_encode([1, 2, 3])),
        _with_envelope(template, "body: args", body=_encode([[1], {}, {}])),
        _with_envelope(template, "body: kwargs.self", body=_encode([[], {"self": 1}, {}])),
        _with_envelope(template, "chain", body=_encode([[], {}, {"chain": [{}]}])),
    ]


def _bad_arguments(template: dict[str, Any]) -> list[Entry]:
    """Entries whose arguments are no message of facequeue."""
    return [
        _with_envelope(template, "message: not an object", body=_encode([[], {}, {}])),
        _with_envelope(template, "something", body=_encode([[], {"something": 1}, {}])),
        _with_message(template, "version", version=99),
        _with_message(template, "version", version="1"),
        _with_message(template, "extra", extra=1),
        _with_message(template, "AAA", **{"A" * MEGABYTES: 1}),
        _with_message(template, "job", job="../j"),
        _with_message(template, "uid", uid=None),
        _with_message(template, "batch", batch="0"),
        _with_message(template, "images", images=[]),
        _with_message(template, "images", images=["a.jpg"] * 2000),
        _with_message(template, "out of the data root", images=["../a.jpg"]),
        _with_message(template, "out of the data root", images=["a/../../b.jpg"]),
        _with_message(template, "out of the data root", images=["/etc/passwd"]),
        _with_message(template, "not a path", images=["a\0b"]),
        _with_message(template, "not a path", images=[7]),
        _with_message(template, "surrogate", images=["a\ud800.jpg"]),
        _with_message(template, "uid", uid="../" * 10 + "ab"),
        _with_headers(template, "Extra", task=AGGREGATE_TASK),
    ]


def _bad_messages(template: dict[str, Any]) -> list[Entry]:
    return [*_bad_bytes(), *_bad_envelopes(template), *_bad_tasks(template), *_bad_arguments(template)]


def test_bad_messages_cost_nobody_anything(stage: Stage, sample: Path) -> None:
    """Each is refused with one log line and kept with its reason. The same worker finishes the valid job among them."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    bad = _bad_messages(_template(stage))
    half = len(bad) // 2
    stage.client.lpush("embed", *(raw for raw, _ in bad[:half]))
    assert (
        stage.producer("enqueue", str(sample / "hopper"), "--job", "good", "--batch-size", "3", **root).returncode == 0
    )
    stage.client.lpush("embed", *(raw for raw, _ in bad[half:]))
    stage.client.lpush("aggregate", b"junk")
    worker = stage.worker("--concurrency", "1", **root)
    assert stage.producer("watch", "good", **root).returncode == 0, stage.log("worker.log")
    wait_until(lambda: len(list_dead_letters(stage.client)) > len(bad), 60, "all are refused")

    letters = list_dead_letters(stage.client)[::-1]
    assert [letter.where for letter in letters].count("aggregate") == 1
    letters = [letter for letter in letters if letter.where != "aggregate"]
    for (raw, says), letter in zip(bad, letters, strict=True):
        assert says in letter.reason, (raw[:200], letter)
        assert len(letter.reason) <= 300 and len(letter.body) <= MOST_BODY_CHARACTERS and letter.body.isprintable()
        assert letter.time.endswith("+00:00")
    assert worker.poll() is None
    assert stage.client.llen("embed") == stage.client.llen("aggregate") == 0
    wait_until(lambda: not stage.client.exists("unacked", "unacked_index"), 20, "nothing is unacknowledged")

    log = stage.log("worker.log")
    assert log.count("message refused") == len(bad) + 1
    assert log.count(" ready.") == log.count("networks loaded") == 1  # the same worker, the same child
    assert "Traceback" not in log
    assert len(log) < 100_000 and max(map(len, log.splitlines())) < 1000


def _listed(stage: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = stage.producer("dead-letters", *arguments)
    assert done.returncode == 0, done.stderr
    return done


def test_dead_letters_are_listed_and_forgotten(stage: Stage) -> None:
    """Newest first, markup as text, at most a thousand, one line each. Foreign entries are shown too."""
    assert "No dead letters" in _listed(stage).stdout
    for number in range(MOST_LETTERS + 5):
        park(stage.client, "embed", f"reason {number} [/b]", b"\x1b[31m\nbody" + b"x" * 5000)
    stage.client.lset(DEAD_LETTERS, -1, b"{\xff")
    lines = _listed(stage).stdout.splitlines()
    assert len(lines) == 1 + MOST_LETTERS
    assert f"reason {MOST_LETTERS + 4} [/b]" in lines[1]
    assert "embed" in lines[1] and r"\x1b[31m\nbodyxxx" in lines[1]
    assert r"{\xff" in lines[-1]
    assert f"Forgotten: {MOST_LETTERS}" in _listed(stage, "--clear").stderr
    assert list_dead_letters(stage.client) == []
    assert clear_dead_letters(stage.client) == 0


def test_parking_never_raises(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """If the server is out of memory or unreachable, only the log has the message."""
    stage.client.config_set("maxmemory", "1mb")
    with caplog.at_level(logging.WARNING):
        park(stage.client, "embed", "while full", b"x")
        park(redis.Redis(port=1), "embed", "while away", b"x")
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "a refused message of embed could not be stored as a dead letter"
    ] * 2
    stage.client.config_set("maxmemory", "0")
    assert list_dead_letters(stage.client) == []


def test_junk_among_the_unacknowledged_and_in_broadcasts(stage: Stage, sample: Path) -> None:
    """An entry that cannot be restored becomes a dead letter, the next one is restored, and remote control works."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    template = _template(stage)
    assert stage.producer("enqueue", str(sample / "hopper"), "--job", "back", **root).returncode == 0
    good = [json.loads(stage.client.rpop("embed")), "", "embed"]
    entries = {
        "a": b"\xff",
        "b": b"5",
        "c": b'[{}, "", "embed"]',
        "d": json.dumps([template, [], 7]),
        "good": json.dumps(good),
    }
    stage.client.hset("unacked", mapping=entries)
    stage.client.zadd("unacked_index", {tag: 1000 - place for place, tag in enumerate(entries)})
    worker = stage.worker("--concurrency", "1", **root)
    assert stage.producer("watch", "back", **root).returncode == 0, stage.log("worker.log")
    wait_until(lambda: len(list_dead_letters(stage.client)) == 4, 30, "four are parked")
    assert {letter.where for letter in list_dead_letters(stage.client)} == {"unacked"}
    assert not stage.client.exists("unacked")
    for junk in (b"{}", b"5", b"\xff"):
        stage.client.publish("/0.celery.pidbox", junk)
    wait_until(lambda: len(list_dead_letters(stage.client)) == 6, 30, "two more are parked")
    pings = make_celery(stage.settings).control.ping(timeout=5)
    assert len(pings) == 1 and worker.poll() is None


def test_a_link_out_of_the_root_is_an_images_trouble(stage: Stage, sample: Path, tmp_path: Path) -> None:
    """The message is valid, because its path does not show where the link leads. The image is `unreadable`."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "out.jpg").symlink_to(sample / "hopper" / "as-is.jpg")
    (root / "in.jpg").write_bytes((sample / "hopper" / "smaller.jpg").read_bytes())
    stage.worker("--concurrency", "1", FACEQUEUE_DATA_ROOT=str(root))
    done = stage.producer("enqueue", str(root), "--wait", "--job", "link", FACEQUEUE_DATA_ROOT=str(root))
    assert done.returncode == 3, done.stderr
    with (stage.results / "link" / "images.csv").open(newline="") as file:
        outcomes = {row["path"]: (row["outcome"], row["error"]) for row in csv.DictReader(file)}
    assert outcomes == {"in.jpg": ("ok", ""), "out.jpg": ("unreadable", "leads out of the data root")}
    assert list_dead_letters(stage.client) == []
