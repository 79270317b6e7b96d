"""The command that goes on with a job whose producer is gone, for people to copy."""

import shlex

from shared.domain.contract import KNOWN_WEIGHTS
from shared.domain.paths import printable
from shared.store.jobs import Job


def command_to_go_on(job: Job) -> str:
    """The command line that puts the rest of a job into the queue: with the job's own options, as others are refused."""
    folder, name = printable(job.source), ["--job", job.name]
    if _is_of_run(job):
        words = ["run", folder, *name, *_options(job)]
    elif job.retries:
        words = ["retry", job.name]
    else:
        words = ["enqueue", folder, *name, *_options(job)]
    return shlex.join(["python", "-m", "producer", *words])


def producer_is_gone(job: Job) -> str:
    """A line that says so, and how to go on."""
    where = ", and with its --results where it had one" if _is_of_run(job) else ""
    return (
        f"The producer of job '{job.name}' is gone: nobody puts the rest of its images into the queue. On that machine{where}, "
        f"`{command_to_go_on(job)}` goes on."
    )


def _is_of_run(job: Job) -> bool:
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
