"""Jobs whose producer is gone, and the command that goes on with one, for people to copy."""

import shlex

from shared.domain.contract import KNOWN_WEIGHTS
from shared.domain.errors import NotFinished
from shared.domain.paths import printable
from shared.store.jobs import Job

_ATTACHES_WITHIN_S = 2.0  # a producer does, when it has made the job


class ProducerGone(NotFinished):
    """Nobody adds batches to a job that still takes them."""

    def __init__(self, job: Job) -> None:
        super().__init__(
            f"The producer of job '{job.name}' is gone: nobody puts the rest of its images into the queue."
        )
        self.of = job


def is_abandoned(job: Job, now_ms: int) -> bool:
    """Whether a job still takes batches and nobody is there who adds any. `now_ms` is the server's time."""
    return job.producer_silent_s(now_ms) > _ATTACHES_WITHIN_S


def command_to_go_on(job: Job) -> str:
    """The command line that puts the rest of a job into the queue: with the job's own options, as others are refused."""
    folder, name = printable(job.source), ["--job", job.name]
    if is_of_run(job):
        words = ["run", folder, *name, *_options(job)]
    elif job.retries:
        words = ["retry", job.name]
    else:
        words = ["enqueue", folder, *name, *_options(job)]
    return shlex.join(["python", "-m", "producer", *words])


def is_of_run(job: Job) -> bool:
    """Whether `run` made the job, with a server or queues of its own."""
    return job.queue_prefix.startswith("run-")


def _options(job: Job) -> list[str]:
    contract, options = job.contract, job.options
    words = ["--faces", contract.faces, "--margin", str(contract.margin_px), "--batch-size", str(options.batch_size)]
    words += ["--exact"] if contract.mode == "exact" else []
    words += ["--mirror"] if contract.mirror else []
    words += ["--distances", options.distances] if options.distances != "auto" else []
    words += ["--inline"] if options.inline else []
    if contract.weights in KNOWN_WEIGHTS:
        return words + (["--weights", contract.weights] if contract.weights != "casia-webface" else [])
    # Only its owner knows where the file is.
    return [*words, "--weights", f"{contract.weights.removeprefix('own-')}.pt"]
