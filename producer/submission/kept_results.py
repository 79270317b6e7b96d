"""Results that are there already: a job that may not replace them is refused before it begins."""

from pathlib import Path

from shared.domain.errors import WrongUsage
from shared.results.owner import why_not_replaced


def refuse_to_replace(results_dir: Path, job: str, origin: str, source: str) -> None:
    """WrongUsage where `results_dir/<job>` is seen from here and is not this job's to replace.

    The aggregator looks again, in its own results folder, before it writes.
    """
    try:
        reason = why_not_replaced(results_dir / job, origin, source)
    except OSError:  # not ours to look at: the aggregator will
        return
    if reason is not None:
        raise WrongUsage(f"{reason}. Choose another --job, or move that folder away.")
