"""A job as its record describes it. Others can write to the server that the record comes from, so every field is
checked.
"""

import json
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
from shared.domain.queues import aggregate_queue, embed_queue, own_queue
from shared.domain.validation import explain

RECORD_VERSION = "2"


class JobState(StrEnum):
    """What a job waits for."""

    ENQUEUING = "enqueuing"
    """A producer adds batches."""
    SEALED = "sealed"
    """No batch will follow."""
    FINISHED = "finished"
    """The results are written."""
    CANCELLED = "cancelled"
    """What is left of the record is being removed, or tells those who watch."""


def _cursor(packed: Any) -> RootPath | None:
    value = json.loads(packed)
    return None if value is None else check_relative(value)


# Whoever can write to the server could command a terminal.
Shown = Annotated[str, AfterValidator(printable)]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as its record stood when it was read. Times are the server's, in ms since 1970."""

    name: Annotated[str, PlainValidator(check_job_name)]
    uid: Annotated[str, Field(pattern=UID_PATTERN)]
    """Tells this job from earlier ones of the same name, and from itself before a retry."""
    state: JobState
    origin: str
    """Fingerprint of folder, settings and results folder: the same origin resumes the same job."""
    source: Shown
    """The folder as the producer saw it, for people."""
    contract: Annotated[Contract, PlainValidator(lambda packed: Contract.from_dict(json.loads(packed)))]
    runtime: Annotated[dict[str, str], BeforeValidator(json.loads)] | None = None
    """The worker's part of the contract; None until the first worker has agreed on it."""
    options: Annotated[Options, PlainValidator(lambda packed: Options.from_dict(json.loads(packed)))]
    retries: int = 0
    """How often its failed images were retried. The batches of a retry hold nothing else."""
    queue_prefix: str
    batches: int
    images: int
    cursor: Annotated[RootPath | None, PlainValidator(_cursor)]
    """The last path that a batch holds."""
    images_done: int = 0
    faces: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    """How many images have each outcome."""
    created_ms: int
    started_ms: int | None = None
    updated_ms: int
    """Last news of any kind. A job without news for too long is stalled."""
    committed_ms: int | None = None
    """When the last batch was committed."""
    published_ms: int | None = None
    """When the results were in their place; the report may still be in the making. None once the job is finished."""
    ended_ms: int | None = None
    refusal: Shown | None = None
    """Why a worker does not serve this job, as long as no batch has been committed since."""
    problem: Shown | None = None
    """Why the results could not be written, if they could not."""
    block_bytes: int = 0
    """Of the finished blocks that are on the server."""
    spool_bytes: int = 0
    """How much of the spill file counts. What follows was written by a process that died before it could say so."""
    spool_host: Shown | None = None
    """The host that has the spill file, for people."""
    producer_until_ms: int | None = None
    """When the producer's lease expires; None before a producer has attached."""
    lost_aggregations: int = 0
    """How often its aggregation was lost and sent again since somebody last asked for the job."""
    diverted: bool = False
    """Whether its messages go to a queue of its own, since some worker cannot serve it (`shared.store.diversion`)."""
    images_retaken: int = 0
    """Images whose batch was leased more than once: some of their work was done twice."""
    failed_listed: int = 0
    """So many images failed that their paths are not here, but in the results folder (`shared.results.failed_list`)."""

    @property
    def failed(self) -> int:
        """Images that failed so far."""
        return sum(self.outcomes.get(outcome, 0) for outcome in FAILED)

    def producer_silent_s(self, now_ms: int) -> float:
        """For how long nobody has been adding batches to a job that still takes them; 0 where its producer lives.

        `now_ms` is the server's time. From the end of the producer's lease on; before one attached, from the last news
        on.
        """
        if self.state != JobState.ENQUEUING:
            return 0.0
        until_ms = self.updated_ms if self.producer_until_ms is None else self.producer_until_ms
        return max(0.0, (now_ms - until_ms) / 1000)

    @property
    def embed_queue(self) -> str:
        """Where its batches go, whatever queues this process serves."""
        return own_queue(self.queue_prefix, self.uid) if self.diverted else embed_queue(self.queue_prefix)

    @property
    def aggregate_queue(self) -> str:
        """Where its aggregation goes."""
        return aggregate_queue(self.queue_prefix)

    @property
    def unfinished(self) -> bool:
        """Whether there is work to do, or results to write."""
        return self.state in (JobState.ENQUEUING, JobState.SEALED)

    def is_stalled(self, now_ms: int, ttl_s: float) -> bool:
        """Whether there has been no news of unfinished work for so long, by the server's clock (`server_time_ms`)."""
        waits_for_room = self.state == JobState.ENQUEUING and self.producer_silent_s(now_ms) == 0
        return self.unfinished and not waits_for_room and now_ms - self.updated_ms > ttl_s * 1000

    @property
    def complete(self) -> bool:
        """Whether every image is accounted for. The results may still be in the making."""
        return self.state in (JobState.SEALED, JobState.FINISHED) and self.images_done == self.images


def parse_job(name: str, raw: Mapping[bytes, bytes]) -> Job:
    """The job of this record, the hash in Redis; RecordUnreadable if it is damaged or of another version."""
    try:
        fields = {key.decode(): value.decode() for key, value in raw.items()}
        if fields.get("version") != RECORD_VERSION:
            raise RecordUnreadable(name, "another version of facequeue made it, which can finish it")
        counts = {str(outcome): fields[f"outcome:{outcome}"] for outcome in Outcome if f"outcome:{outcome}" in fields}
        # A retry has another uid, and begins undiverted.
        diverted = fields.get("diverted") is not None and fields["diverted"] == fields.get("uid")
        return _JOB.validate_python(fields | {"name": name, "outcomes": counts, "diverted": diverted})
    except ValidationError as error:
        raise RecordUnreadable(name, explain(error)) from None
    except (TypeError, ValueError, ContractError) as error:
        raise RecordUnreadable(name, f"{type(error).__name__}: {error}") from None


_JOB = TypeAdapter(Job)
