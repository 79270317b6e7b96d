"""The summary of a job's results: counts, time per stage, and contract."""

from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from shared.domain.job import Job
from shared.domain.paths import printable
from shared.results.model_words import describe_model
from worker.aggregation.known_neighbors import describe_neighbors
from worker.aggregation.statistics import JobStatistics, utc

_OPTIONS = ("batch_size", "distances", "neighbors", "inline", "report")
"""An update must have the same."""


def summarize(
    job: Job, statistics: JobStatistics, matrix_absent: str | None, arithmetic: str, phases: dict[str, str]
) -> dict[str, Any]:
    """The values of summary.json.

    `matrix_absent` is why there is no distance matrix, or None. `arithmetic` is what the last bits of distances depend
    on. `phases` has the start and end of each step.
    """
    ended_ms = job.committed_ms or job.created_ms
    elapsed_s = (ended_ms - (job.started_ms or job.created_ms)) / 1000
    return {
        "job": job.name,
        "uid": job.uid,
        "source": printable(job.source),
        "origin": job.origin,
        "images": statistics.images,
        "faces": statistics.faces,
        "outcomes": statistics.outcomes,
        "recalled": statistics.recalled,
        "known": statistics.known,
        "images_per_s": round((statistics.images - statistics.known) / elapsed_s, 2) if elapsed_s > 0 else None,
        "seconds": {stage: round(spent, 3) for stage, spent in statistics.stage_s.items()},
        "workers": {worker: figures.as_dict() for worker, figures in statistics.workers.items()},
        "distances": {"written": matrix_absent is None, "reason": matrix_absent, "arithmetic": arithmetic},
        "neighbors": describe_neighbors(job),
        "options": {name: getattr(job.options, name) for name in _OPTIONS},
        "contract": job.contract.as_dict() | (job.runtime or {}),
        "model": asdict(describe_model(job.contract.as_dict(), job.options.model_license, job.options.model_origin)),
        "versions": {package: _version(package) for package in ("facequeue", "celery", "numpy", "facenet-pytorch")},
        "created": utc(job.created_ms),
        "started": utc(job.started_ms),
        "ended": utc(ended_ms),
        "phases": phases,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
