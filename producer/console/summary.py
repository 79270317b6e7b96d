"""The summary of a results folder, at the end of `run`."""

import csv
from collections.abc import Iterator
from pathlib import Path

from producer.console.terminal import show
from shared.domain.counts import counted
from shared.domain.errors import ResultsError
from shared.domain.outcomes import FAILED
from shared.domain.paths import printable
from shared.results.files import map_array, open_table, read_json
from shared.results.schema import DISTANCES, EMBEDDINGS, IMAGES, SUMMARY

_FAILURES_SHOWN = 10


def print_summary(folder: Path) -> None:
    """Prints where the results are, the counts of outcomes and faces, and the first failed images.

    ResultsError if they cannot be read.
    """
    try:
        text = "\n".join(_lines(folder))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, csv.Error) as error:
        raise ResultsError(f"The results in {printable(str(folder))} cannot be read ({error}).") from None
    show(text)


def _lines(folder: Path) -> Iterator[str]:
    summary = read_json(folder / SUMMARY)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in summary["outcomes"].items())
    yield f"Results: {printable(str(folder))}"
    # An update in which nothing was computed has no rate.
    rate = f", {summary['images_per_s']} images/s" if summary["images_per_s"] else ""
    yield f"  {counted(summary['images'], 'image')} ({outcomes}), {counted(summary['faces'], 'face')}{rate}"
    distances = summary["distances"]
    matrix = (
        f"{DISTANCES} [{summary['faces']}, {summary['faces']}]"
        if distances["written"]
        else f"no distances: {distances['reason']}"
    )
    yield f"  {EMBEDDINGS} [{summary['faces']}, {map_array(folder / EMBEDDINGS).shape[1]}], {matrix}"
    failed, more = [], 0
    for row in _rows(folder / IMAGES):
        if row["outcome"] in FAILED:
            failed.append(row)
            more += len(failed) > _FAILURES_SHOWN
            del failed[_FAILURES_SHOWN:]
    for row in failed:
        yield f"  {row['outcome']}: {row['path']} ({row['error']})"
    if more:
        yield f"  ... and {more} more, all in {IMAGES}"


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with open_table(path) as file:
        yield from csv.DictReader(file)
