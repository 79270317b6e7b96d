"""Every key on the server. All begin with `PREFIX`, but for Celery's queues."""

PREFIX = "facequeue:"
REGISTRY = f"{PREFIX}jobs"
"""A sorted set: the names of all jobs, by the time they were made."""
UNFINISHED = f"{PREFIX}unfinished"
"""A sorted set: the index of unfinished jobs (`shared.store.registry`)."""
METRICS = f"{PREFIX}metrics"
"""A hash: totals over all jobs (`shared.store.totals`)."""
DIVERTED = f"{PREFIX}diverted"
"""A hash: the names of diverted jobs, by the queue that each has of its own (`shared.store.diversion`)."""
DEAD_LETTERS = f"{PREFIX}dead-letters"
"""A list: what workers rejected (`shared.store.dead_letters`)."""
WORKERS = f"{PREFIX}workers"
"""A set: the names of workers that have announced themselves (`shared.store.worker_registry`)."""
WORKER = f"{PREFIX}worker:"
"""The announcement of one worker; its name follows."""
SAMPLES = f"{PREFIX}resources:"
"""A stream of one worker's resource samples; its name follows."""
RECONCILER = f"{PREFIX}reconciler"
"""The name of the worker that reconciles, for the time of a lease."""
RECONCILER_LEASE = f"{PREFIX}reconciler-lease"
"""The length of that lease in ms, for as long."""
SERVER_NAME = f"{PREFIX}server"
"""A random name of this server's data, by which spill files know whose they are."""
CACHE = f"{PREFIX}cache:"
"""Results of images by contract and digest (`worker.execution.image_cache`); these follow."""
MARK = f"{PREFIX}mark"
"""What `wait_for_disk` writes and waits for."""
NOTHING = f"{PREFIX}nothing"
"""A key that is never there."""
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
"""Parts of a record that a finished job has no use for."""
SWEPT = ("stored", "inline")
"""They name the batches whose blocks and whose images are on the server, and go with the last of these."""
PARTS = ("aggregation", "failed", *WHILE_UNFINISHED)
"""All parts of a record but those, and blocks and images, which are one a batch."""


def job_key(name: str, part: str = "") -> str:
    """The key of a job's record, or of a part of it."""
    return f"{PREFIX}job:{name}:{part}" if part else f"{PREFIX}job:{name}"
