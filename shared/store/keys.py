"""Every key on the server. All begin with `PREFIX`, except Celery's queues."""

PREFIX = "facequeue:"
REGISTRY = f"{PREFIX}jobs"
"""A sorted set: the names of all jobs, by creation time."""
UNFINISHED = f"{PREFIX}unfinished"
"""A sorted set: the index of unfinished jobs (`shared.store.registry`)."""
METRICS = f"{PREFIX}metrics"
"""A hash: totals over all jobs (`shared.store.totals`)."""
DIVERTED = f"{PREFIX}diverted"
"""A hash: the names of diverted jobs, by their queue (`shared.store.diversion`)."""
TURNS = f"{PREFIX}turns:"
"""The turns of jobs that share a queue (`shared.store.turns`). The queue follows, and for some keys more."""
SET_ASIDE = f"{PREFIX}set-aside:"
"""What another program has written in the place of a key (`shared.store.foreign_keys`), whose name follows."""
DEAD_LETTERS = f"{PREFIX}dead-letters"
"""A list: the messages that workers refused (`shared.store.dead_letters`)."""
WORKERS = f"{PREFIX}workers"
"""A set: the names of workers that have announced themselves (`shared.store.worker_registry`)."""
WORKER = f"{PREFIX}worker:"
"""The announcement of one worker; `worker_key` adds its name."""
SAMPLES = f"{PREFIX}resources:"
"""Streams of a worker's resource samples; `sample_stream_key` makes their keys."""
RECONCILER = f"{PREFIX}reconciler"
"""The lock of the reconciler: the name of the worker that holds it. The queue prefix follows."""
RECONCILER_LEASE = f"{PREFIX}reconciler-lease"
"""The length of that worker's lease in ms, for as long. The queue prefix follows."""
SERVER_NAME = f"{PREFIX}server"
"""A random name of this server's data. A spill file carries it, so that it is not mistaken for another server's."""
CACHE = f"{PREFIX}cache:"
"""Cached results of images; contract and digest follow (`worker.execution.server_cache`)."""
CACHE_INDEX = f"{CACHE}index"
"""A sorted set: the keys of cached results."""
CACHE_BYTES = f"{CACHE}bytes"
"""The size of the cached results, in bytes."""
MARK = f"{PREFIX}mark"
"""The key that `wait_for_disk` writes."""
NOTHING = f"{PREFIX}nothing"
"""A key that never exists."""
WHILE_UNFINISHED = (
    "open",
    "leases",
    "holders",
    "batches",
    "attempts",
    "losses",
    "alone",
    "deaths",
    "verdicts",
    "refusals",
)
"""The parts of a record that only an unfinished job needs."""
SWEPT = ("stored", "inline")
"""These parts list the batches whose blocks and inline images are on the server. They are removed after the last of
those.
"""
PARTS = ("aggregation", "failed", *WHILE_UNFINISHED)
"""All other parts of a record, except blocks and inline images, which have one key for each batch."""


def job_key(name: str, part: str = "") -> str:
    """The key of a job record, or of one part of it."""
    return f"{PREFIX}job:{name}:{part}" if part else f"{PREFIX}job:{name}"


def sample_stream_key(spacing_s: int, worker: str) -> str:
    """The key of a worker's stream of samples that are at least `spacing_s` apart."""
    return f"{SAMPLES}{spacing_s}:{worker}"


def worker_of_stream(key: str) -> str:
    """The worker whose stream has this key: the inverse of `sample_stream_key`."""
    return key.removeprefix(SAMPLES).partition(":")[2]


def job_key_of(name: bytes, part: bytes = b"") -> bytes:
    """As `job_key`, for a name as the server has it. It may not be a valid job name."""
    return b"%sjob:%s:%s" % (PREFIX.encode(), name, part) if part else b"%sjob:%s" % (PREFIX.encode(), name)


def clock_key(queue: str) -> str:
    """A hash: how much of a queue's service the jobs of each priority have had."""
    return f"{TURNS}{queue}"


def processes_key(queue: str) -> str:
    """The number of worker processes that serve a queue."""
    return f"{TURNS}{queue}:processes"


def turns_key(queue: str, priority: str) -> str:
    """A sorted set: the names of jobs of this priority that have batches waiting, by what they have had of a queue."""
    return f"{TURNS}{queue}:{priority}"


def set_aside_key(key: str) -> str:
    """The new name of a key that holds something else than it should."""
    return f"{SET_ASIDE}{key.removeprefix(PREFIX)}"


def reconciler_key(queue_prefix: str) -> str:
    """The lock of the reconciler of these queues."""
    return f"{RECONCILER}:{queue_prefix}"


def reconciler_lease_key(queue_prefix: str) -> str:
    """The length of the lease on that lock."""
    return f"{RECONCILER_LEASE}:{queue_prefix}"


def cache_prefix(contract_label: str) -> str:
    """What the keys of results under a contract begin with; the digest of the file follows."""
    return f"{CACHE}{contract_label}:"


def worker_key(name: str) -> str:
    """The key of a worker's announcement."""
    return f"{WORKER}{name}"


def worker_key_of(name: bytes) -> bytes:
    """As `worker_key`, for a name as the server has it. It may not be a valid worker name."""
    return WORKER.encode() + name
