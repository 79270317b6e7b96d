"""A job as its record describes it. Every field is checked, because others can write to the server."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, TypeAdapter, ValidationError

from shared.domain.contract import Contract
from shared.domain.errors import ContractError, RecordUnreadable
from shared.domain.job_names import UID_PATTERN, check_job_name
from shared.domain.options import Options
from shared.domain.outcomes import FAILED, Outcome
from shared.domain.paths import RootPath, check_relative, printable
from shared.domain.priority import Priority
from shared.domain.queues import aggregate_queue, embed_queue, own_queue
from shared.domain.text import parse_json
from shared.domain.validation import explain

RECORD_VERSION = "2"


class JobState(StrEnum):
    """The state of a job."""

    ENQUEUING = "enqueuing"
    """A producer is adding batches."""
    SEALED = "sealed"
    """No more batches will be added."""
    FINISHED = "finished"
    """The results are written."""
    CANCELLED = "cancelled"
    """The record is being removed, or only its state is kept for commands that watch the job."""


def _cursor(packed: Any) -> RootPath | None:
    value = parse_json(packed)
    return None if value is None else check_relative(value)


# Anyone who can write to the server could otherwise send control sequences to a terminal.
Shown = Annotated[str, AfterValidator(printable)]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job at the time its record was read. Times are the server's, in ms since 1970."""

    name: Annotated[str, PlainValidator(check_job_name)]
    uid: Annotated[str, Field(pattern=UID_PATTERN)]
    """Distinguishes this job from earlier ones of the same name, and from itself before a retry."""
    state: JobState
    origin: str
    """Fingerprint of folder, options and results folder: the same origin resumes the same job."""
    source: Shown
    """The folder as the producer was given it, for display."""
    contract: Annotated[Contract, PlainValidator(lambda packed: Contract.from_dict(parse_json(packed)))]
    runtime: Annotated[dict[str, str], BeforeValidator(parse_json)] | None = None
    """The worker's part of the contract; None until the first worker has agreed on it."""
    options: Annotated[Options, PlainValidator(lambda packed: Options.from_dict(parse_json(packed)))]
    retries: int = 0
    """The number of retries of its failed images. A retry has batches of those images only."""
    queue_prefix: str
    priority: Priority = Priority.NORMAL
    batches: int
    images: int
    cursor: Annotated[RootPath | None, PlainValidator(_cursor)]
    """The last path that was added to a batch."""
    images_done: int = 0
    images_known: int = 0
    """The number of those that an update took from the earlier results."""
    faces: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    """The number of images by outcome."""
    created_ms: int
    started_ms: int | None = None
    updated_ms: int
    """When the record last changed. An unfinished job without a change for too long is stalled."""
    committed_ms: int | None = None
    """When the last batch was committed."""
    published_ms: int | None = None
    """When the results were published, while the report may still be written. None once the job is finished."""
    ended_ms: int | None = None
    refusal: Shown | None = None
    """Why a worker refuses this job. Cleared when a batch is committed."""
    problem: Shown | None = None
    """Why the results could not be written; None if there was no problem."""
    block_bytes: int = 0
    """Size of the finished blocks on the server, in bytes."""
    spool_bytes: int = 0
    """The number of valid bytes in the spill file. Bytes beyond that were written by a process that died before it
    recorded them.
    """
    spool_host: Shown | None = None
    """The host that has the spill file, for display."""
    producer_until_ms: int | None = None
    """When the producer's lease expires; None before a producer has attached."""
    producer_lease_ms: int | None = None
    """The length of the producer's lease, in ms."""
    lost_aggregations: int = 0
    """How often its aggregation was lost and requeued since a user last asked for the job."""
    diverted: bool = False
    """Whether its messages go to a queue of its own, because a worker cannot serve it (`shared.store.diversion`)."""
    lease_ms: int = 0
    """The longest lease that any of its batches had."""
    claim_ms: int = 0
    """The length of the last lease of its aggregation."""
    images_retaken: int = 0
    """The number of images whose batch was leased more than once: some were computed twice."""
    tiles: int = 0
    """The number of tiles of the pair matrix that are compared through the queue; 0 before, or if it is small."""
    tiles_done: int = 0
    stage: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")] = ""
    """Names the folder with their embeddings."""
    failed_listed: int = 0
    """The number of failed images if they are too many for the record and only the results folder lists them
    (`shared.results.failed_list`).
    """

    @property
    def failed(self) -> int:
        """The number of images that have failed so far."""
        return sum(self.outcomes.get(outcome, 0) for outcome in FAILED)

    def producer_silent_s(self, now_ms: int) -> float:
        """The seconds since the producer's lease expired; 0 if the lease is valid, or if the job takes no more batches.

        `now_ms` is the server's time. The time counts from the end of the producer's lease or, if no producer has
        attached yet, from the last change of the record. It is infinite if the lease ends later than any lease can,
        because the server's clock was set back.
        """
        if self.state != JobState.ENQUEUING or self._producer_lives(now_ms):
            return 0.0
        if self.producer_until_ms is not None and self.producer_until_ms > now_ms:
            return math.inf
        until_ms = self.updated_ms if self.producer_until_ms is None else self.producer_until_ms
        return max(0.0, (now_ms - until_ms) / 1000)

    def _producer_lives(self, now_ms: int) -> bool:
        if self.producer_until_ms is None or self.producer_until_ms <= now_ms:
            return False
        return self.producer_lease_ms is None or self.producer_until_ms <= now_ms + 2 * self.producer_lease_ms

    @property
    def embed_queue(self) -> str:
        """The queue of its batches, whatever queues this process serves."""
        return own_queue(self.queue_prefix, self.uid) if self.diverted else embed_queue(self.queue_prefix)

    @property
    def aggregate_queue(self) -> str:
        """The queue of its aggregation."""
        return aggregate_queue(self.queue_prefix)

    @property
    def turns_queue(self) -> str:
        """The queue in which its batches, or now its tiles, get their turn (`shared.store.turns`)."""
        return self.aggregate_queue if self.comparing else embed_queue(self.queue_prefix)

    @property
    def unfinished(self) -> bool:
        """Whether images or results are still missing."""
        return self.state in (JobState.ENQUEUING, JobState.SEALED)

    def is_stalled(self, now_ms: int, ttl_s: float) -> bool:
        """Whether an unfinished job's record has not changed for `ttl_s`, by the server's clock (`server_time_ms`).

        A job whose producer waits because of backpressure is not stalled.
        """
        waits_for_room = self.state == JobState.ENQUEUING and self._producer_lives(now_ms)
        return self.unfinished and not waits_for_room and now_ms - self.updated_ms > ttl_s * 1000

    @property
    def comparing(self) -> bool:
        """Whether tiles of the pair matrix are still to be computed."""
        return self.tiles_done < self.tiles

    @property
    def complete(self) -> bool:
        """Whether every image is done. The results may not be written yet."""
        return self.state in (JobState.SEALED, JobState.FINISHED) and self.images_done == self.images


def parse_job(name: str, raw: Mapping[bytes, bytes]) -> Job:
    """The job in this record (a hash in Redis); RecordUnreadable if it is damaged or of another version."""
    try:
        fields = {key.decode(): value.decode() for key, value in raw.items()}
        if fields.get("version") != RECORD_VERSION:
            raise RecordUnreadable(name, "another version of facequeue made it, which can finish it")
        counts = {str(outcome): fields[f"outcome:{outcome}"] for outcome in Outcome if f"outcome:{outcome}" in fields}
        # A retry has another uid, and is not diverted at first.
        diverted = fields.get("diverted") is not None and fields["diverted"] == fields.get("uid")
        return _JOB.validate_python(fields | {"name": name, "outcomes": counts, "diverted": diverted})
    except ValidationError as error:
        raise RecordUnreadable(name, explain(error)) from None
    except ContractError as error:
        raise RecordUnreadable(name, str(error)) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordUnreadable(name, f"{type(error).__name__}: {error}") from None


_JOB = TypeAdapter(Job)
