"""Everything around a message is checked before kombu and Celery trust it."""

import base64
import json
from typing import Any

import pytest
from kombu import Connection
from kombu.transport.virtual import Channel, Message

from shared.domain.errors import BadMessage
from shared.messaging.messages import EMBED_TASK
from tests.support.guarded_transport import use_it_in_this_test
from worker.broker.envelope import check_envelope, check_task_message, read_envelope
from worker.broker.transport import Transport

MESSAGE = {"version": 1, "job": "j", "uid": "0" * 32, "batch": 0, "send": 1, "images": ["a.jpg"]}
HEADERS = {"lang": "py", "task": EMBED_TASK, "id": "j:0:1", "eta": None, "retries": 0, "timelimit": [90.0, None]}
NO_OPTIONS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


class _Unpacker:
    """The part of a channel that is needed to unpack a message."""

    Message = Message
    codecs = Channel.codecs
    decode_body = Channel.decode_body
    no_ack_consumers = None


def _body(content: object) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.b64encode(raw).decode()


def _envelope(**change: object) -> dict[str, Any]:
    return {
        "body": _body([[], {"message": MESSAGE}, NO_OPTIONS]),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": HEADERS,
        "properties": {
            "delivery_tag": "t",
            "body_encoding": "base64",
            "priority": 0,
            "delivery_info": {"exchange": "", "routing_key": "embed"},
        },
    } | change


def _check(envelope: Any) -> None:
    check_envelope(envelope, _Unpacker())
    check_task_message(Message(envelope, channel=_Unpacker(), accept={"application/json"}))


def test_a_good_message_passes() -> None:
    """This is the message that the producer sends."""
    _check(read_envelope(json.dumps(_envelope()).encode()))


@pytest.mark.parametrize(
    "raw", [b"", b"\xff\xfe\x00", b"{", b"[" * 200_000, b'{"__type__": "datetime", "__value__": "x"}', b"9" * 5000]
)
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    """Any exception of the decoder or of its hooks becomes a refusal."""
    with pytest.raises(BadMessage, match="not JSON"):
        read_envelope(raw)


@pytest.mark.parametrize(
    "envelope",
    [
        5,
        None,
        "text",
        [],
        {},
        _envelope(body=None),
        _envelope(body=""),
        _envelope(body="abc"),
        _envelope(headers=None),
        _envelope(properties={}),
        _envelope(properties=None),
        _envelope(headers={"compression": "zlib"}),
        {**_envelope(), "content-type": 7},
        *(
            _envelope(properties=_envelope()["properties"] | change)
            for change in (
                {"delivery_tag": ["t"]},
                {"delivery_tag": ""},
                {"delivery_info": {}},
                {"body_encoding": "rot13"},
                {"body_encoding": 7},
                {"delivery_info": {"exchange": [], "routing_key": "embed"}},
                {"priority": "high"},
            )
        ),
    ],
)
def test_envelopes_that_kombu_would_stumble_over(envelope: object) -> None:
    """They could not be delivered, acknowledged or restored."""
    with pytest.raises(BadMessage, match="envelope"):
        check_envelope(envelope, _Unpacker())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"headers": {}}, "no task"),
        ({"headers": HEADERS | {"task": ["x"]}}, "unknown task"),
        ({"headers": HEADERS | {"task": "celery.map"}}, "unknown task celery.map"),
        ({"headers": {"task": EMBED_TASK}}, "headers: id"),
        ({"headers": HEADERS | {"id": "a\nb"}}, "headers: id"),
        ({"headers": HEADERS | {"timelimit": "x"}}, "timelimit"),
        ({"headers": HEADERS | {"eta": "2050-01-01"}}, "eta"),
        ({"headers": HEADERS | {"get": 1}}, "headers: get"),
        ({"headers": HEADERS | {"callbacks": [{}]}}, "callbacks"),
        ({"body": _body(b"junk")}, "cannot be decoded"),
        ({"body": _body(5)}, "body"),
        ({"body": _body([1, 2, 3])}, "body"),
        ({"body": _body([[], {"self": 1}, {}])}, "self"),
        ({"body": _body([[1], {}, {}])}, "args"),
        ({"body": _body([[], {}, {"chain": [1]}])}, "chain"),
        ({"body": _body([[], {}, {}])}, "not an object"),
        ({"body": _body([[], {"message": MESSAGE | {"version": 2}}, {}])}, "version"),
        ({"body": _body([[], {"message": MESSAGE | {"images": ["../a"]}}, {}])}, "data root"),
        ({"content-type": "application/x-python-serialize"}, "cannot be decoded"),
        ({"content-type": None}, "body"),
    ],
)
def test_messages_that_are_not_ours(change: dict[str, Any], says: str) -> None:
    """They are refused with a reason before a child process sees them."""
    with pytest.raises(BadMessage, match=says):
        _check(_envelope(**change))


def test_a_reason_is_short_however_long_a_name_is() -> None:
    """A field name of a megabyte is not logged."""
    with pytest.raises(BadMessage) as caught:
        _check(_envelope(body=_body([[], {"message": MESSAGE | {"A" * 2**20: 1}}, {}])))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("url", ["redis://h", "rediss://h/1?ssl_cert_reqs=required", "redis+socket:///tmp/s.sock"])
def test_every_kind_of_address_is_guarded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """TCP, TLS and Unix sockets."""
    use_it_in_this_test(monkeypatch)
    assert isinstance(Connection(url).transport, Transport)
