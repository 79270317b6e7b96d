"""Validates the parts of a message that kombu and Celery read: envelope, properties, headers and body.

Both trust their input: a missing field, or a field of another type, raises in the worker's event loop and ends the
worker.
"""

import json
from typing import Annotated, Any, Literal, TypeVar

from celery.app.task import Context
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.domain.errors import BadMessage
from shared.domain.text import one_line
from shared.domain.validation import explain
from shared.messaging.messages import (
    AGGREGATE_TASK,
    EMBED_TASK,
    PAIR_TILE_TASK,
    Aggregate,
    EmbedBatch,
    PairTile,
    parse_message,
)

KINDS: dict[str, type[EmbedBatch] | type[Aggregate] | type[PairTile]] = {
    EMBED_TASK: EmbedBatch,
    AGGREGATE_TASK: Aggregate,
    PAIR_TILE_TASK: PairTile,
}
P = TypeVar("P", bound=BaseModel)
_Text = Annotated[str, Field(max_length=4096)]
_TimeLimit = Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
# Celery sets headers as attributes of the request. A header with one of these names would hide a method.
_METHODS = frozenset(name for name in dir(Context) if callable(getattr(Context, name)))


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)  # only kombu and Celery use the other fields


class _DeliveryInfo(_Part):
    exchange: _Text
    routing_key: _Text


class _Properties(_Part):
    delivery_tag: Annotated[str, Field(min_length=1, max_length=255)]
    delivery_info: _DeliveryInfo
    body_encoding: Literal["base64", "utf-8"] | None = None
    priority: int | None = 0


class _Envelope(_Part):
    body: Annotated[str, Field(min_length=1)]
    content_type: Annotated[_Text | None, Field(alias="content-type")] = None
    content_encoding: Annotated[_Text | None, Field(alias="content-encoding")] = None
    headers: dict[str, Any]
    properties: _Properties


class _Headers(_Part):
    id: Annotated[str, Field(pattern=r"^[!-~]{1,255}$")]
    retries: Annotated[int, Field(ge=0)] = 0
    timelimit: Annotated[list[_TimeLimit], Field(min_length=2, max_length=2)] | None = None
    root_id: _Text | None = None
    parent_id: _Text | None = None
    argsrepr: _Text | None = None
    kwargsrepr: _Text | None = None
    ignore_result: bool | None = None
    stamped_headers: None = None
    # Each of these could delay a message, drop it silently, or start other tasks.
    eta: None = None
    expires: None = None
    shadow: None = None
    group: None = None
    callbacks: None = None
    errbacks: None = None
    chain: None = None
    chord: None = None


class _Arguments(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    message: Any = None


class _Embed(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    callbacks: None = None
    errbacks: None = None
    chain: None = None
    chord: None = None


class _Payload(_Part):
    args: Annotated[list[Any], Field(max_length=0)]
    kwargs: _Arguments
    embed: _Embed


def read_envelope(raw: bytes) -> Any:
    """An entry of a queue's list, decoded as kombu decodes it; BadMessage if it is not JSON."""
    try:
        return loads(bytes_to_str(raw))  # type: ignore[no-untyped-call]
    # kombu's decoder has hooks for types, which raise any exception, and JSON may be nested too deeply.
    except Exception as error:
        detail = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise BadMessage(f"not JSON ({detail})") from None


def check_envelope(envelope: Any, channel: Any) -> None:
    """BadMessage if kombu could not deliver this envelope, acknowledge it, or put it back into its queue."""
    checked = _checked(_Envelope, envelope, "envelope")
    if "compression" in checked.headers:
        raise BadMessage("envelope: compressed, which facequeue's messages never are")
    try:
        channel.Message(envelope, channel=channel)
    except Exception as error:
        raise BadMessage(f"envelope: {error}") from None


def check_task_message(message: Any) -> None:
    """BadMessage if this kombu message calls no task of facequeue, or has invalid arguments."""
    headers = message.headers
    task = headers.get("task")
    if not isinstance(task, str) or task not in KINDS:
        raise BadMessage("no task is named" if task is None else f"unknown task {one_line(task, 100)}")
    _checked(_Headers, headers, "headers")
    hidden = sorted(_METHODS & headers.keys())
    if hidden:
        raise BadMessage(f"headers: {hidden[0]}: not the name of a header")
    try:
        payload = message.payload
    # Each serializer and each encoding raises its own exceptions.
    except Exception as error:
        raise BadMessage(f"body cannot be decoded: {error}") from None
    if not isinstance(payload, list | tuple) or len(payload) != 3:
        raise BadMessage("body: not [arguments, keyword arguments, options]")
    body = _checked(_Payload, dict(zip(("args", "kwargs", "embed"), payload, strict=True)), "body")
    parse_message(KINDS[task], body.kwargs.message)


def _checked(kind: type[P], value: Any, what: str) -> P:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise BadMessage(f"{what}: {explain(error)}") from None
