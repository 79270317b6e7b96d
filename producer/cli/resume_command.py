"""The command that resumes a job, to be copied."""

import shlex

from producer.submission.requests import RUN_PREFIX
from shared.archives.opening import is_archive
from shared.domain.contract import DEFAULT_WEIGHTS, KNOWN_WEIGHTS, Contract
from shared.domain.embedder_files import MODEL_SUFFIX
from shared.domain.embedders import EMBEDDERS, FACENET
from shared.domain.job import Job
from shared.domain.options import DEFAULT_REPORT_FACES
from shared.domain.paths import printable


def command_to_resume(job: Job) -> str:
    """The command line that enqueues the rest of a job. It has the job's own options, since others are refused."""
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
    return job.queue_prefix.startswith(RUN_PREFIX)


def _options(job: Job) -> list[str]:
    contract, options = job.contract, job.options
    words = ["--faces", contract.faces]
    words += ["--margin", str(contract.margin_px)] if contract.alignment == "box" else []
    words += ["--batch-size", str(options.batch_size)]
    words += ["--model", _model(contract)] if contract.model != FACENET.name else []
    words += ["--exact"] if contract.mode == "exact" else []
    words += ["--mirror"] if contract.mirror else []
    words += ["--precision", contract.precision] if contract.precision != "float32" else []
    words += ["--distances", options.distances] if options.distances != "auto" else []
    words += ["--inline"] if options.inline else []
    words += ["--files", options.files] if options.files else []
    words += ["--archives"] if options.archives and not is_archive(job.source) else []
    words += [] if options.report else ["--no-report"]
    words += ["--report-faces", str(options.report_faces)] if options.report_faces != DEFAULT_REPORT_FACES else []
    if contract.model != FACENET.name:
        return words
    if contract.weights in KNOWN_WEIGHTS:
        return words + (["--weights", contract.weights] if contract.weights != DEFAULT_WEIGHTS else [])
    # Only its owner knows where the file is.
    return [*words, "--weights", f"{contract.weights.removeprefix('own-')}.pt"]


def _model(contract: Contract) -> str:
    return contract.model if contract.model in EMBEDDERS else f"{contract.model.removeprefix('own-')}{MODEL_SUFFIX}"
