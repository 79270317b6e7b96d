"""The job record in Redis: what a job is made of, what is done, and who works on what.

Every change that must not be torn is one Lua script (`lua/`), so that a process may die between any two calls.
Batches are done by being removed from `open`; whatever stays in it is not done, however many messages were lost.
"""

import json
import os
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from shared.domain.contract import Contract, Runtime
from shared.domain.errors import (
    ContractError,
    FaceQueueError,
    JobGone,
    JobNotFound,
    JobNotRetryable,
    NotFinished,
    ProducerReplaced,
    RecordUnreadable,
)
from shared.domain.job_names import UID_PATTERN, check_job_name
from shared.domain.options import Options as Options
from shared.domain.outcomes import FAILED, Outcome
from shared.domain.paths import RootPath, check_relative, pack_paths, printable, unpack_paths
from shared.results.failed_list import fits_record
from shared.store.diversion import DIVERTED, own_queue, parse_refusals
from shared.store.redis_client import Client, insist, server_time_ms
from shared.store.scripts import run_script

PREFIX = "facequeue:"
REGISTRY = f"{PREFIX}jobs"
UNFINISHED = f"{PREFIX}unfinished"
"""The index of unfinished jobs (`shared.store.registry`)."""
METRICS = f"{PREFIX}metrics"
"""Totals over all jobs (`shared.store.totals`)."""
RECORD_VERSION = "2"
_WHILE_UNFINISHED = (
    "open", "leases", "holders", "batches", "attempts", "losses", "alone", "deaths", "verdicts", "refusals",
)  # fmt: skip
"""Parts of the record that a finished job has no use for."""
_SWEPT = ("stored", "inline")
"""They name the batches whose blocks and whose images are on the server, and go with the last of these."""
_PARTS = ("aggregation", "failed", *_WHILE_UNFINISHED)
"""All parts of the record but those, and blocks and images, which are one a batch."""
_SWEPT_AT_ONCE = 128
_LOOKED_AT_ONCE = 1000
"""Most batches that one script removes or looks at: the server answers nobody meanwhile."""
_NOTED_LIFE_S = 3600
LOSSES_TOGETHER = 2
"""After so many lost processes a batch's images run one by one."""
DEATHS_ALONE = 3
"""An image that loses so many processes while it runs alone is given up."""
_AGGREGATION_LEASE_FACTOR = 2  # files are being written: rather wait a little longer than write them twice


@dataclass(frozen=True)
class Lease:
    """A batch in the hands of one worker process."""

    attempt: int
    losses: int
    """Processes that were lost with this batch while their worker lived on."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as its record stood when it was read."""

    name: str
    uid: str
    state: str
    """`enqueuing`, `sealed`, `finished` or `cancelled`."""
    origin: str
    """Fingerprint of folder, settings and results folder: the same origin goes on with the same job."""
    source: str
    """The folder as the producer saw it, for people."""
    contract: Contract
    runtime: dict[str, str] | None
    options: Options
    retries: int
    """How often its failed images were given another try; then its batches hold nothing else."""
    queue_prefix: str
    batches: int
    images: int
    cursor: RootPath | None
    """The last path that a batch holds."""
    images_done: int
    faces: int
    outcomes: dict[str, int]
    created_ms: int
    started_ms: int | None
    updated_ms: int
    """Last news of any kind: what is past its time is counted from here."""
    committed_ms: int | None
    """The last batch done."""
    ended_ms: int | None
    refusal: str | None
    """Why a worker does not serve this job, as long as no batch has been done since."""
    problem: str | None
    """Why the results could not be written, where they could not."""
    block_bytes: int = 0
    """Of the finished blocks that are on the server."""
    spool_bytes: int = 0
    """How much of the spool counts; what follows was written by somebody who did not get to say so."""
    spool_host: str | None = None
    """Where the spool is, for people."""
    producer_until_ms: int | None = None
    """Until when (server time) the producer that adds batches is to be believed alive; None where none has attached yet."""
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

        `now_ms` is the server's time. From the end of the producer's lease on; before one attached, from the last news on.
        """
        if self.state != "enqueuing":
            return 0.0
        until_ms = self.updated_ms if self.producer_until_ms is None else self.producer_until_ms
        return max(0.0, (now_ms - until_ms) / 1000)

    @property
    def embed_queue(self) -> str:
        """Where its batches go, whatever queues this process serves."""
        return own_queue(self.queue_prefix, self.uid) if self.diverted else f"{self.queue_prefix}embed"

    @property
    def aggregate_queue(self) -> str:
        """Where its aggregation goes."""
        return f"{self.queue_prefix}aggregate"

    @property
    def unfinished(self) -> bool:
        """Whether there is work to do, or results to write."""
        return self.state in ("enqueuing", "sealed")

    def is_stalled(self, now_ms: int, ttl_s: float) -> bool:
        """Whether there has been no news of unfinished work for so long, by the server's clock (`server_time_ms`)."""
        return self.unfinished and now_ms - self.updated_ms > ttl_s * 1000

    @property
    def complete(self) -> bool:
        """Whether every image is accounted for (the results may still be in the making)."""
        return self.state in ("sealed", "finished") and self.images_done == self.images

    @classmethod
    def parse(cls, name: str, raw: dict[bytes, bytes]) -> Self:
        """From the hash in Redis; RecordUnreadable where it is none of ours, or of another version."""
        try:
            return cls._parse(name, raw)
        except (LookupError, TypeError, ValueError, ContractError) as error:
            raise RecordUnreadable(name, f"{type(error).__name__}: {error}") from None

    @classmethod
    def _parse(cls, name: str, raw: dict[bytes, bytes]) -> Self:
        fields = {key.decode(): value.decode() for key, value in raw.items()}
        if fields.get("version") != RECORD_VERSION:
            raise RecordUnreadable(name, "another version of facequeue made it, which can finish it")
        # Both become parts of file names.
        check_job_name(name)
        if not re.fullmatch(UID_PATTERN, fields["uid"]):
            raise ValueError("uid: not 32 hexadecimal digits")
        return cls(
            name=name,
            uid=fields["uid"],
            state=printable(fields["state"]),
            origin=fields["origin"],
            source=printable(fields["source"]),
            contract=Contract.from_dict(json.loads(fields["contract"])),
            runtime=json.loads(fields["runtime"]) if "runtime" in fields else None,
            options=Options.from_dict(json.loads(fields["options"])),
            retries=int(fields.get("retries", 0)),
            queue_prefix=fields["queue_prefix"],
            batches=int(fields["batches"]),
            images=int(fields["images"]),
            cursor=_cursor(json.loads(fields["cursor"])),
            images_done=int(fields.get("images_done", 0)),
            faces=int(fields.get("faces", 0)),
            outcomes={o.value: int(fields[f"outcome:{o}"]) for o in Outcome if f"outcome:{o}" in fields},
            created_ms=int(fields["created_ms"]),
            started_ms=int(fields["started_ms"]) if "started_ms" in fields else None,
            updated_ms=int(fields["updated_ms"]),
            committed_ms=int(fields["committed_ms"]) if "committed_ms" in fields else None,
            ended_ms=int(fields["ended_ms"]) if "ended_ms" in fields else None,
            refusal=_shown(fields.get("refusal")),
            problem=_shown(fields.get("problem")),
            block_bytes=int(fields.get("block_bytes", 0)),
            spool_bytes=int(fields.get("spool_bytes", 0)),
            spool_host=_shown(fields.get("spool_host")),
            producer_until_ms=int(fields["producer_until_ms"]) if "producer_until_ms" in fields else None,
            lost_aggregations=int(fields.get("lost_aggregations", 0)),
            diverted=fields.get("diverted") == fields["uid"],  # a retry has another uid, and begins undiverted
            images_retaken=int(fields.get("images_retaken", 0)),
            failed_listed=int(fields.get("failed_listed", 0)),
        )


def _cursor(value: Any) -> RootPath | None:
    return None if value is None else check_relative(value)


def _shown(text: str | None) -> str | None:
    """For a terminal: whoever can write to the server could command it."""
    return None if text is None else printable(text)


class JobRecord:
    """The record of one job. InvalidJobName for a name that none can have: its keys could be those of another job."""

    def __init__(self, client: Client, name: str) -> None:
        self.name = check_job_name(name)
        self._client = client
        self._key = f"{PREFIX}job:{name}"

    def _run(self, script: str, parts: Sequence[str], *args: Any) -> Any:
        """Runs a script on parts of the record; `=` stands before keys that are no part of it."""
        keys = [part[1:] if part.startswith("=") else self._part(part) for part in parts]
        answer = run_script(self._client, script, keys, args)
        return answer.decode() if isinstance(answer, bytes) else answer

    def _part(self, part: str) -> str:
        return f"{self._key}:{part}" if part else self._key

    # The producer's side

    def create(
        self, *, origin: str, source: str, contract: Contract, options: Options, queue_prefix: str
    ) -> tuple[Job, bool]:
        """Creates the job, or finds the one of this name; the second value says whether it is new."""
        uid = uuid.uuid4().hex
        fields = {
            "version": RECORD_VERSION, "state": "enqueuing", "origin": origin, "source": source,
            "contract": json.dumps(contract.as_dict()), "options": json.dumps(vars(options)),
            "queue_prefix": queue_prefix, "batches": 0, "images": 0, "cursor": json.dumps(None), "sends": 0,
        }  # fmt: skip
        pairs = [item for pair in fields.items() for item in pair]
        parts = ["", f"={REGISTRY}", f"={UNFINISHED}", *_PARTS, *_SWEPT]
        while True:
            present = self._run("create", parts, self.name, uid, f"{queue_prefix}:{self.name}", *pairs)
            if present != "removing":
                return self.load(), present == uid
            self.complete_removal()

    def exists(self) -> bool:
        """Whether there is a record of this name, of whatever version."""
        return bool(self._client.exists(self._key))

    def queue_prefix(self) -> str:
        """Of the queues that its messages are in, of whatever version the record is."""
        return os.fsdecode(self._client.hget(self._key, "queue_prefix") or b"")

    def load(self) -> Job:
        """The job as it stands; JobNotFound, or RecordUnreadable."""
        raw = self._client.hgetall(self._key)
        if not raw:
            raise JobNotFound(self.name)
        return Job.parse(self.name, raw)

    def attach_producer(self, uid: str, lease_s: float = 0.0) -> str:
        """Makes the caller the only producer of this job; returns the token that its calls need.

        For `lease_s` it is believed to be alive, and for as long again with every `heartbeat`. One that is attached already
        is fenced off: its next call is refused.
        """
        token = uuid.uuid4().hex
        self._run("attach", [""], uid, token, int(lease_s * 1000), 1)
        return token

    def attach_alone(self, uid: str, lease_s: float) -> str | int:
        """As `attach_producer`, but for a producer that is alive: then until when (server time, ms) that is believed."""
        token = uuid.uuid4().hex
        answer = self._run("attach", [""], uid, token, int(lease_s * 1000), 0)
        return answer if isinstance(answer, int) else token

    def heartbeat(self, uid: str, producer: str, lease_s: float) -> bool:
        """Says that the producer lives; 0 s: that it leaves. False where it is not wanted any more."""
        return bool(self._run("heartbeat", [""], uid, producer, int(lease_s * 1000)))

    def go_on(self, uid: str) -> None:
        """Says that somebody wants this job: its time begins anew, and results that failed are tried again."""
        self._run("go_on", [""], uid)

    def add_batch(self, uid: str, producer: str, batch: int, paths: list[RootPath]) -> int:
        """Records a batch and returns its send number."""
        args = (uid, producer, batch, pack_paths(paths), len(paths), json.dumps(paths[-1]))
        answer = self._run("add_batch", ["", "batches", "open"], *args)
        if isinstance(answer, int):
            return answer
        raise self._refusal(answer)

    def put_image(self, uid: str, producer: str, batch: int, path: RootPath, packed: bytes) -> None:
        """Stores what is at the path of a batch's image, for workers that cannot look themselves."""
        parts = ["", f"bytes:{batch}", "inline"]
        if not self._run("inline_put", parts, uid, producer, batch, os.fsencode(path), packed):
            raise self._refusal("fenced")

    def inline_bytes(self) -> int:
        """Of the images that are on the server."""
        return int(self._client.hget(self._key, "inline_bytes") or 0)

    def inline_key(self, batch: int) -> str:
        """Where the images of a batch are on the server: a hash by path."""
        return self._part(f"bytes:{batch}")

    def seal(self, uid: str, producer: str) -> bool:
        """Says that no batch will follow. True where all batches are done already."""
        answer = self._run("seal", ["", "open"], uid, producer)
        if answer not in ("sealed", "complete"):
            raise self._refusal(answer)
        return bool(answer == "complete")

    def _refusal(self, answer: str) -> NotFinished:
        if answer == "fenced":
            return ProducerReplaced(self.name)
        if answer == "cancelled":
            return JobGone(f"Job '{self.name}' was cancelled.")
        return JobGone(f"Job '{self.name}' takes no more images ({answer}).")

    def reopen(self, job: Job) -> int:
        """Opens a finished job again for its failed images; how many these are."""
        counters = [f"outcome:{outcome}" for outcome in FAILED]
        parts = ["", "failed", f"={REGISTRY}", f"={UNFINISHED}", *_SWEPT]
        self._sweep(job.uid)  # where the aggregator died over it
        answer = self._run("reopen", parts, job.uid, uuid.uuid4().hex, job.name, *counters)
        if isinstance(answer, int):
            return answer
        raise JobNotRetryable(
            f"Job '{job.name}' is {answer}: only the failed images of a finished job can be tried again."
        )

    def failed_images(self) -> dict[int, RootPath]:
        """The failed images of the last time the job was finished: path by index, in order; none where they did not fit.

        `shared.results.failed_list.failed_images` finds those too.
        """
        found = self._client.hgetall(self._part("failed"))
        return {int(index): unpack_paths(found[index])[0] for index in sorted(found, key=int)}

    def open_batches(self) -> int:
        """How many recorded batches are not done."""
        return int(self._client.zcard(self._part("open")))

    def block_bytes(self) -> int:
        """Of the finished blocks that are on the server."""
        return int(self._client.hget(self._key, "block_bytes") or 0)

    # The worker's side

    def agree_on_runtime(self, uid: str, runtime: Runtime) -> dict[str, str]:
        """Sets the worker's part of the contract if nobody has, and returns what stands."""
        raw = self._run("agree", [""], uid, json.dumps(runtime.as_dict(), sort_keys=True))
        agreed: dict[str, str] = json.loads(raw) if raw else {}
        return agreed

    def take(self, uid: str, batch: int, send: int, holder: str, lease_s: float, *, images: int = 1) -> "Lease | str":
        """Leases a batch of so many images, or says why not: `unknown`, `cancelled`, `done`, `sent again` or `leased`."""
        parts = ["", "open", "leases", "holders", "attempts", "losses", "alone"]
        answer = self._run("take", parts, uid, batch, send, holder, int(lease_s * 1000), images)
        return Lease(*answer) if isinstance(answer, list) else str(answer)

    def is_wanted(self, uid: str, batch: int, holder: str) -> bool:
        """Whether the job is still there and not cancelled, and the batch still this holder's."""
        found, state = self._client.hmget(self._key, "uid", "state")
        mine = self._client.hget(self._part("holders"), str(batch)) == holder.encode()
        return bool(found == uid.encode() and state != b"cancelled" and mine)

    def note_alone(self, batch: int, holder: str, index: int | None) -> None:
        """Notes which image of a batch is about to run alone; None: none is any more."""
        self._run("alone", ["holders", "alone"], batch, holder, "" if index is None else index)

    def lose(self, uid: str, batch: int, holder: str, verdict: str) -> tuple[int, list[RootPath]] | None:
        """Counts a process that was lost with this batch while its worker lives on.

        An image that lost `DEATHS_ALONE` processes while it ran alone gets the verdict. Returns a new send number and the
        batch's paths; None where the holder had no lease any more.
        """
        parts = ["", "open", "leases", "holders", "batches", "losses", "alone", "deaths", "verdicts"]
        answer = self._run("lose", parts, uid, batch, holder, verdict, DEATHS_ALONE)
        return (int(answer[0]), unpack_paths(answer[1])) if answer else None

    def verdicts(self, batch: int, images: int) -> dict[int, str]:
        """The verdicts on images of a batch, by their place in it."""
        found = self._client.hmget(self._part("verdicts"), [f"{batch}:{index}" for index in range(images)])
        return {index: verdict.decode() for index, verdict in enumerate(found) if verdict is not None}

    def renew(self, batch: int, holder: str, lease_s: float) -> bool:
        """Prolongs a lease; False where it was lost."""
        return bool(self._run("renew", ["leases", "holders"], batch, holder, int(lease_s * 1000)))

    def give_back(self, batch: int, holder: str) -> bool:
        """Ends a lease before its time; False where it was lost already."""
        return bool(self._run("release", ["leases", "holders"], batch, holder))

    def divert(
        self, job: Job, batch: int, holder: str, worker: str, reason: str, *,
        again_s: float = 0, unless_alone: bool = False, others: Sequence[str] = (),
    ) -> str:  # fmt: skip
        """Gives a batch back and notes that this worker cannot serve the job, for so long or (0) for good.

        From now on the job's messages belong into `own_queue`. Returns `diverted`; `alone` where none of the `others` may
        serve it (only asked for with `unless_alone`; nothing is changed then); or `unknown`, `cancelled`, `finished`.
        """
        parts = ["", "leases", "holders", "refusals", f"={DIVERTED}"]
        queue = own_queue(job.queue_prefix, job.uid)
        answer: str = self._run(
            "divert", parts, job.uid, batch, holder, worker, reason, int(again_s * 1000), job.name, queue,
            int(unless_alone), *others,
        )  # fmt: skip
        return answer

    def waits_for(self, batch: int, send: int) -> bool:
        """Whether a batch is not done, and this its last sending."""
        return bool(self._client.zscore(self._part("open"), str(batch)) == send)

    def refusals(self) -> dict[str, str]:
        """The reason of each worker that refuses this job, or is about to try again; also of workers that are gone."""
        found = parse_refusals(self._client.hgetall(self._part("refusals")))
        return {worker: printable(refusal.reason) for worker, refusal in found.items()}

    def refusal_of(self, worker: str) -> str | None:
        """Why this worker refuses the job just now."""
        note = self._client.hget(self._part("refusals"), worker)
        refusal = parse_refusals({b"": note}).get("") if note is not None else None
        return refusal.reason if refusal and refusal.holds(server_time_ms(self._client)) else None

    def forget_refusal(self, worker: str) -> None:
        """The worker may serve the job again."""
        self._client.hdel(self._part("refusals"), worker)

    def embed_queue(self) -> str:
        """Where the job's batches go now; also of a record that cannot be read."""
        prefix, uid, diverted = self._client.hmget(self._key, "queue_prefix", "uid", "diverted")
        prefix = os.fsdecode(prefix or b"")
        return own_queue(prefix, os.fsdecode(uid)) if uid and uid == diverted else f"{prefix}embed"

    def undivert(self, queue: str) -> bool:
        """Forgets that the job was diverted, with what is left in its queue; False while it is unfinished."""
        return bool(self._run("undivert", ["", f"={DIVERTED}", f"={queue}"], self.name, queue))

    def commit(
        self, uid: str, batch: int, block: bytes, outcomes: dict[str, int], faces: int, totals: Mapping[str, int] = {}
    ) -> str:
        """Stores a block once: `stored`, `last`, or `done`, `unknown`, `cancelled` where it was not wanted.

        `totals` is what it adds to those over all jobs.
        """
        parts = [
            "",
            "open",
            "leases",
            "holders",
            "batches",
            "attempts",
            f"block:{batch}",
            "stored",
            "losses",
            f"bytes:{batch}",
            "inline",
            f"={METRICS}",
        ]
        counters: list[Any] = ["images_done", sum(outcomes.values()), "faces", faces]
        for outcome, amount in outcomes.items():
            counters += [f"outcome:{outcome}", amount]
        added = [item for pair in totals.items() for item in pair]
        answer: str = self._run("commit", parts, uid, batch, block, len(counters), *counters, *added)
        return answer

    # The aggregator's side

    def claim_aggregation(self, holder: str, lease_s: float, *, uid: str = "") -> bool:
        """Makes `holder` the only aggregator for a while; with `uid` of that job alone, not of another one of the name."""
        lease_ms = int(lease_s * _AGGREGATION_LEASE_FACTOR * 1000)
        return bool(self._run("claim", ["", "aggregation"], uid, holder, lease_ms))

    def renew_aggregation(self, holder: str, lease_s: float) -> bool:
        """Prolongs the claim; False where it was lost."""
        lease_ms = int(lease_s * _AGGREGATION_LEASE_FACTOR * 1000)
        return bool(self._run("prolong", ["aggregation"], holder, lease_ms))

    def holds_aggregation(self, holder: str) -> bool:
        """Whether the claim is still this holder's."""
        return bool(self._client.get(self._part("aggregation")) == holder.encode())

    def release_aggregation(self, uid: str, holder: str, problem: str | None = None) -> None:
        """Gives the claim back, with the reason why there are no results; does nothing where it was lost."""
        self._run("disclaim", ["", "aggregation"], uid, holder, problem or "")

    def note_problem(self, uid: str, problem: str) -> None:
        """Says why there are no results, to those who follow the job; nobody tries again before `go_on`."""
        self._run("change", [""], uid, "problem", problem)

    def count_lost_aggregation(self, uid: str) -> bool:
        """Counts an aggregation that was lost and sent again; False where the job does not wait for its results any more.

        In the record, as whoever counts may die of what it counts: both are one container mostly.
        """
        return bool(self._run("lost_aggregation", [""], uid))

    def aggregation_claimed(self) -> bool:
        """Whether somebody aggregates this job just now."""
        return bool(self._client.exists(self._part("aggregation")))

    def blocks(self, batches: Sequence[int]) -> list[bytes | None]:
        """The blocks of these batches, None where one is not on the server."""
        found: list[bytes | None] = self._client.mget([self._part(f"block:{batch}") for batch in batches])
        return found

    def finish(self, job: Job, holder: str, ttl_s: int, failed: dict[int, RootPath]) -> str:
        """Marks the job finished, notes its failed images, and removes what only an unfinished job needs.

        Where so many failed that they do not fit the record, they are only counted.
        """
        # Of this call alone: an aggregator that comes too late must not take away what another has noted.
        part = f"failed-now:{uuid.uuid4().hex[:12]}"
        noted, listed = self._part(part), not fits_record(failed)
        rows = [] if listed else [(index, pack_paths([path])) for index, path in failed.items()]
        for first in range(0, len(rows), 1000):
            # Also on a full server: finishing makes room.
            insist(self._client, "HSET", noted, *(item for row in rows[first : first + 1000] for item in row))
            self._client.expire(noted, _NOTED_LIFE_S)
        parts = ["", "aggregation", "failed", part, *_WHILE_UNFINISHED]
        answer: str = self._run("finish", parts, job.uid, holder, len(failed) if listed else 0)
        self._client.unlink(noted)
        if answer == "finished":
            self.close(job.uid, ttl_s)
        return answer

    def close(self, uid: str, ttl_s: int) -> None:
        """Removes the blocks of a finished job, and lets its record expire; also where that was cut short before."""
        self._sweep(uid)
        self._run("close", ["", "failed", f"={UNFINISHED}", *_SWEPT], uid, self.name, ttl_s)

    def _sweep(self, uid: str) -> None:
        """Removes blocks and images of all batches, some at a time, of a finished or cancelled job."""
        # Nobody adds any more. Images are on the server of those batches only that are listed: mostly of none.
        kinds = ("block", "bytes") if self._client.exists(self._part("inline")) else ("block",)
        while batches := self._batches_kept():
            parts = [f"{kind}:{batch}" for kind in kinds for batch in batches]
            if not self._run("sweep", ["", *_SWEPT, *parts], uid, *batches):
                return

    def _batches_kept(self) -> list[str]:
        """Some batches whose block or whose images are on the server."""
        found = self._client.zrange(self._part("stored"), 0, _SWEPT_AT_ONCE - 1)
        found = found or self._client.hrandfield(self._part("inline"), _SWEPT_AT_ONCE)
        return [batch.decode() for batch in found or ()]

    # The reconciler's side

    def stored(self, most: int) -> list[int]:
        """The first batches whose blocks are on the server."""
        return [int(batch) for batch in self._client.zrange(self._part("stored"), 0, most - 1)]

    def count_spooled(self, uid: str, before: int, now: int, host: str, batches: Sequence[int]) -> bool:
        """Removes blocks that the spool, `now` bytes long, holds; False where anybody has changed the job meanwhile."""
        parts = ["", "aggregation", "stored", *(f"block:{batch}" for batch in batches)]
        return bool(self._run("spooled", parts, uid, before, now, host, *batches))

    def find_unleased(self) -> dict[int, str]:
        """Batches that are not done and in nobody's hands, with their send numbers: they wait in the queue, or are lost."""
        unleased: dict[int, str] = {}
        after = b"-inf"
        while after:
            after, *found = self._run("unleased", ["open", "leases"], after, _LOOKED_AT_ONCE)
            unleased |= {int(batch): send.decode() for batch, send in zip(found[::2], found[1::2], strict=True)}
        return unleased

    def resend(self, uid: str, batch: int, send: str) -> tuple[int, list[RootPath]] | None:
        """A new send number and the paths of a lost batch; None where it is not lost any more."""
        answer = self._run("resend", ["", "open", "leases", "holders", "batches"], uid, batch, send)
        return (int(answer[0]), unpack_paths(answer[1])) if answer else None

    def delete(self, only: Job | None = None, *, keep_mark_s: int = 0) -> bool:
        """Removes every key of the job; `keep_mark_s` keeps the word `cancelled` for those who watch.

        With `only`, a job that is still as it was read: False where it was opened again, or had news of its work. A removal
        that is cut short is completed by whoever comes next: the reconciler, or who makes or removes a job of this name.
        """
        if only is None:
            return self._delete(keep_mark_s, "", "", "")
        return self._delete(keep_mark_s, only.uid, only.state, only.updated_ms if only.unfinished else "")

    def complete_removal(self) -> bool:
        """Removes what is left of a job whose removal was cut short, and nothing of any other."""
        uid, keep_s = self._client.hmget(self._key, "uid", "keep_s")
        return self._delete(int(keep_s or 0), os.fsdecode(uid or b""), "cancelled", "")

    def complete(self, ttl_s: int) -> None:
        """Completes a removal or a finishing that was cut short."""
        uid, state = self._client.hmget(self._key, "uid", "state")
        if state == b"finished":
            self.close(os.fsdecode(uid or b""), ttl_s)
        else:
            self.complete_removal()

    def _delete(self, keep_mark_s: int, *expected: Any) -> bool:
        everywhere = f"={REGISTRY}"
        version, batches = self._client.hmget(self._key, "version", "batches")
        marked, uid = self._run(
            "begin_delete", ["", everywhere, f"={UNFINISHED}", *_PARTS], self.name, keep_mark_s, *expected
        )
        if not marked:
            return False
        uid = uid.decode()
        if version != RECORD_VERSION.encode():  # it may keep no list of what it has
            self._sweep_range(uid, int(batches) if (batches or b"").isdigit() else 0)
        answer = "not swept"
        while answer == "not swept":
            self._sweep(uid)
            answer = self._run("end_delete", ["", everywhere, *_SWEPT], self.name, uid)
        return bool(answer == "deleted")

    def _sweep_range(self, uid: str, batches: int) -> None:
        for first in range(0, batches + 1, _SWEPT_AT_ONCE):
            some = range(first, min(batches + 1, first + _SWEPT_AT_ONCE))
            parts = [f"{kind}:{batch}" for kind in ("block", "bytes") for batch in some]
            self._run("sweep", ["", *_SWEPT, *parts], uid, *some)


def job_names(client: Client) -> list[str]:
    """The names of all jobs on this server, oldest first."""
    return [name.decode() for name in client.zrange(REGISTRY, 0, -1)]


def list_jobs(client: Client, say: Callable[[str], None] = lambda line: None) -> list[Job]:
    """Every job on this server, oldest first; names whose record has expired are forgotten on the way.

    Records that cannot be read, of another version for example, are left out, and `say` hears of them.
    """
    return load_jobs(client, job_names(client), say)


def load_jobs(client: Client, names: Sequence[str], say: Callable[[str], None] = lambda line: None) -> list[Job]:
    """The jobs of these names; those without a record are forgotten, those that cannot be read are left out (`say`)."""
    jobs = []
    for first in range(0, len(names), _LOOKED_AT_ONCE):
        some = names[first : first + _LOOKED_AT_ONCE]
        with client.pipeline(transaction=False) as pipe:
            for name in some:
                pipe.hgetall(f"{PREFIX}job:{name}")
            records = pipe.execute()
        for name, raw in zip(some, records, strict=True):
            if not raw:
                run_script(client, "forget", [f"{PREFIX}job:{name}", REGISTRY, UNFINISHED], [name, ""])
                continue
            try:
                jobs.append(Job.parse(name, raw))
            except FaceQueueError as error:
                say(str(error))
    return jobs
