"""What travels through the queues: small JSON messages, checked field by field."""

import json
import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from shared.errors import BadMessage, WrongUsage
from shared.paths import check_relative, printable

EMBED_TASK = "facequeue.embed_batch"
AGGREGATE_TASK = "facequeue.aggregate"
VERSION = 1
MOST_IMAGES = 1024
_JOB_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
UID_PATTERN = r"^[0-9a-f]{32}$"
"""A job's uid: part of the names of files and queues."""


def is_job_name(name: str) -> bool:
    """Whether this can name a job, its keys on the server and its results folder."""
    return re.fullmatch(_JOB_NAME, name) is not None


def check_job_name(name: str) -> str:
    """The name itself, if it can name a job and its results folder; else WrongUsage."""
    if not is_job_name(name):
        raise WrongUsage(
            f"'{printable(name)}' cannot name a job: use up to 100 letters, digits, '.', '_' and '-', with a letter or digit first."
        )
    return name


def _check_path(value: Any) -> str:
    # Not pydantic's `str`: it refuses surrogates, which stand for the bytes of names that are not UTF-8.
    if not value:
        raise ValueError("not a path")
    return check_relative(value)


ImagePath = Annotated[str, PlainValidator(_check_path)]


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    version: Literal[1]
    job: Annotated[str, Field(pattern=_JOB_NAME)]
    uid: Annotated[str, Field(pattern=UID_PATTERN)]
    """Tells this job from an earlier one of the same name."""


def task_id(job: str, batch: int, send: int | str) -> str:
    """The id of the task that embeds a batch, for one of its sendings."""
    return f"{job}:{batch}:{send}"


class EmbedBatch(_Message):
    """Embed the faces of some images."""

    batch: Annotated[int, Field(ge=0)]
    send: Annotated[int, Field(ge=1)]
    """Which sending of the job this is; grows with every message of the job."""
    images: Annotated[list[ImagePath], Field(min_length=1, max_length=MOST_IMAGES)]
    """Paths relative to the data root, with `/`."""

    @property
    def task_id(self) -> str:
        return task_id(self.job, self.batch, self.send)

    def describe(self) -> str:
        """The message as Flower shows it."""
        return f"job={self.job} batch={self.batch} images={len(self.images)}"


class Aggregate(_Message):
    """Write the results of a job whose batches are all done."""

    def describe(self) -> str:
        """The message as Flower shows it."""
        return f"job={self.job}"


M = TypeVar("M", bound=_Message)


def parse_message(kind: type[M], body: Any) -> M:
    """The message in a task's keyword arguments; BadMessage says in a line what is wrong with it."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise BadMessage(explain(error)) from None


def explain(error: ValidationError) -> str:
    """The first thing that is wrong, in a line."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:100] or "message"  # a field's name can be megabytes long
    more = error.error_count() - 1
    what = "not an object" if first["type"] == "model_type" else first["msg"]  # pydantic's words name our classes
    return f"{where}: {what}" + (f" (and {more} more)" if more else "")


def pack_paths(paths: list[str]) -> str:
    """Paths as the job record keeps them; names that are not UTF-8 survive."""
    return json.dumps(paths, separators=(",", ":"))


def unpack_paths(packed: bytes | str) -> list[str]:
    """The inverse of `pack_paths`."""
    paths: list[str] = json.loads(packed)
    return paths
