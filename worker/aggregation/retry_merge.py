"""Merges the retried images of a job into its earlier results, whose other images stay unchanged."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.domain.errors import ResultsError
from shared.domain.paths import RootPath, printable
from shared.results.files import read_json
from shared.results.schema import SUMMARY
from worker.aggregation.earlier_results import UNREADABLE, earlier_results
from worker.aggregation.rows import Row

_FIRST_ATTEMPT = ("images_per_s", "seconds", "workers", "started", "ended", "recalled", "known", "phases")
_RETRY = ("started", "ended", "seconds", "workers", "phases")


def merged_rows(
    folder: Path, below: RootPath, dimensions: int, retried: dict[int, RootPath], fresh: Iterator[Row]
) -> Iterator[Row]:
    """The images of a results folder in order, with the `retried` ones (path by index) replaced by `fresh` ones.

    `below` is the folder of the job's images, below the data root; embeddings have `dimensions` values.
    """
    try:
        with earlier_results(folder, below, dimensions) as earlier:
            for index in range(len(earlier)):
                yield _retried_row(folder, retried[index], fresh) if index in retried else earlier.row(index)
    except UNREADABLE as error:
        raise ResultsError(
            f"The earlier results in {printable(str(folder))} cannot be read ({printable(str(error))}), so the retried "
            "images cannot be added to them. Cancel the job and run it again."
        ) from None


def merged_summary(folder: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """The summary of all attempts: speed and workers of the first attempt, and one entry for each retry."""
    retry = {name: summary[name] for name in _RETRY}
    try:
        before: dict[str, Any] = dict(read_json(folder / SUMMARY))
        # This retry may already be in the summary if its aggregation runs again.
        retries = [entry for entry in before.get("retries", []) if entry["started"] != retry["started"]]
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise ResultsError(
            f"{printable(str(folder / SUMMARY))} cannot be read ({printable(str(error))}), so the retried images "
            "cannot be added to these results. Cancel the job and run it again."
        ) from None
    return summary | {name: before.get(name) for name in _FIRST_ATTEMPT} | {"retries": [*retries, retry]}


def _retried_row(folder: Path, path: RootPath, fresh: Iterator[Row]) -> Row:
    row = next(fresh, None)
    if row is None or row.path != path:
        raise ResultsError(
            f"The retried images do not fit the earlier results in {printable(str(folder))}. Cancel the job and run it "
            "again."
        )
    return row
