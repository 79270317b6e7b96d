"""Refuses a job that would replace the results of another."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from producer.submission.requests import Request
from shared.domain.embedders import FACENET
from shared.domain.errors import InvalidRequest
from shared.domain.paths import printable
from shared.results.files import read_json
from shared.results.owner import results_uid, why_not_replaced
from shared.results.schema import SUMMARY

_FLAGS = {
    "faces": "--faces",
    "mode": "--exact (mode)",
    "margin_px": "--margin",
    "mirror": "--mirror",
    "model": "--model",
    "weights": "--weights",
    "weights_sha256": "--weights (their SHA-256)",
    "precision": "--precision",
    "alignment": "the model's alignment",
    "crop_px": "the model's crop",
    "channels": "the model's channels",
    "pixel_mean": "the model's mean",
    "pixel_scale": "the model's scale",
    "dimensions": "the model's dimensions",
    "pipeline_version": "the pipeline's version",
    "batch_size": "--batch-size",
    "distances": "--distances",
    "neighbors": "--neighbors",
    "report": "the report",
    "inline": "--inline",
}


def refuse_to_replace(results_dir: Path, job: str, origin: str, source: str, request: Request | None = None) -> None:
    """InvalidRequest if `results_dir/<job>` is visible here and belongs to another job.

    With `fresh`, a request may replace results of its own source with other options. The aggregator checks its own
    results folder again before it writes.
    """
    folder = results_dir / job
    try:
        reason = why_not_replaced(folder, origin, source)
    except OSError:  # this process may not read it; the aggregator will check
        return
    if reason is None:
        return
    try:
        summary = read_json(folder / SUMMARY)
    except (OSError, ValueError):
        summary = None
    mine = isinstance(summary, dict) and printable(str(summary.get("source"))) == source
    if request is not None and mine and results_uid(folder):
        if request.fresh:
            return
        different = "; ".join(differences(summary, request)) or "its settings, or the installation, are others"
        raise InvalidRequest(
            f"{reason}. Different: {different}. Give the same options to update these results, --fresh to compute "
            "everything and replace them, or another --job."
        )
    raise InvalidRequest(f"{reason}. Choose another --job, or move that folder away.")


def differences(summary: dict[str, Any], request: Request) -> Iterator[str]:
    """The options that a request has otherwise than a job, of which `summary` has `contract` and `options`."""
    there = dict(summary.get("contract") or {}) | dict(summary.get("options") or {})
    there.setdefault("model", FACENET.name)
    here = (
        {"model": FACENET.name}
        | request.contract.as_dict()
        | {
            "batch_size": request.batch_size,
            "distances": request.distances,
            "neighbors": request.neighbors,
            "report": request.report,
            "inline": request.inline,
        }
    )
    for name, value in here.items():
        if name in there and there[name] != value:
            yield f"{_FLAGS.get(name, name)} was {printable(str(there[name]))[:80]}, now {value}"
