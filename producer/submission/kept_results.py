"""Refuses a job that would replace the results of another."""

from pathlib import Path

from shared.domain.errors import InvalidRequest
from shared.results.owner import why_not_replaced


def refuse_to_replace(results_dir: Path, job: str, origin: str, source: str) -> None:
    """InvalidRequest if `results_dir/<job>` is visible here and belongs to another job.

    The aggregator checks its own results folder again before it writes.
    """
    try:
        reason = why_not_replaced(results_dir / job, origin, source)
    except OSError:  # this process may not read it; the aggregator will check
        return
    if reason is not None:
        raise InvalidRequest(f"{reason}. Choose another --job, or move that folder away.")
