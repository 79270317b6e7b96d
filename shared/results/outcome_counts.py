"""How many images of a job failed, according to its results."""

from pathlib import Path

from shared.domain.outcomes import FAILED
from shared.results.files import read_json
from shared.results.schema import SUMMARY


def count_failed(folder: Path) -> int:
    """The number of failed images; 0 if the summary does not say."""
    try:
        outcomes = read_json(folder / SUMMARY)["outcomes"]
        return sum(int(outcomes.get(outcome.value, 0)) for outcome in FAILED)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return 0
