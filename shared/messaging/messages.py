"""The messages in the queues: small JSON objects, validated field by field."""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, model_validator

from shared.domain.errors import BadMessage
from shared.domain.job_names import JOB_NAME_PATTERN, UID_PATTERN
from shared.domain.options import MOST_IMAGES
from shared.domain.paths import RootPath, check_relative
from shared.domain.stretch import Stretch
from shared.domain.task_ids import embed_task_id
from shared.domain.validation import explain

EMBED_TASK = "facequeue.embed_batch"
AGGREGATE_TASK = "facequeue.aggregate"
PAIR_TILE_TASK = "facequeue.pair_tile"
VERSION = 1


# Not pydantic's `str`, which refuses the surrogates that stand for bytes of names that are not UTF-8.
ImagePath = Annotated[RootPath, PlainValidator(check_relative)]


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    version: Literal[1]
    job: Annotated[str, Field(pattern=JOB_NAME_PATTERN)]
    uid: Annotated[str, Field(pattern=UID_PATTERN)]
    """Distinguishes this job from an earlier one of the same name."""


class EmbedBatch(_Message):
    """Embed the faces of some images."""

    batch: Annotated[int, Field(ge=0)]
    send: Annotated[int, Field(ge=1)]
    """The send number. It grows with every message of the job."""
    images: Annotated[list[ImagePath], Field(min_length=1, max_length=MOST_IMAGES)]
    """Paths relative to the data root, with `/`."""
    stretch: Stretch | None = None
    """Where the images are in an archive; None if they are files of their own."""

    @model_validator(mode="after")
    def _check_stretch(self) -> Self:
        if self.stretch is not None:
            self.stretch.check(self.images)
        return self

    @property
    def task_id(self) -> str:
        return embed_task_id(self.job, self.batch, self.send)

    def describe(self) -> str:
        """The message as Flower shows it."""
        return f"job={self.job} batch={self.batch} images={len(self.images)}"


class Aggregate(_Message):
    """Write the results of a job whose batches are all done."""

    def describe(self) -> str:
        """The message as Flower shows it."""
        return f"job={self.job}"


class PairTile(_Message):
    """Find candidates for the nearest faces in a tile of a job's pair matrix."""

    batch: Annotated[int, Field(ge=0)]
    """The tile's number in the job record: it follows those of the batches of images."""
    send: Annotated[int, Field(ge=1)]
    stage: Annotated[str, Field(pattern=UID_PATTERN)]
    """Names the folder with the embeddings."""

    @property
    def task_id(self) -> str:
        return embed_task_id(self.job, self.batch, self.send)

    def describe(self) -> str:
        """The message as Flower shows it."""
        return f"job={self.job} tile={self.batch}"


M = TypeVar("M", bound=_Message)


def parse_message(kind: type[M], body: Any) -> M:
    """The message in a task's keyword arguments; BadMessage says in one line what is wrong with it."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise BadMessage(explain(error)) from None
