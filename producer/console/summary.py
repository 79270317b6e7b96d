"""The summary of a results folder, at the end of `run`."""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from shared.domain.outcomes import FAILED
from shared.domain.paths import printable

_FAILURES_SHOWN = 10


def print_summary(folder: Path) -> None:
    """Prints where the results are, the counts of outcomes and faces, and the first failed images."""
    summary = json.loads((folder / "summary.json").read_text())
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in summary["outcomes"].items())
    print(f"Results: {printable(str(folder))}")
    print(f"  {summary['images']} images ({outcomes}), {summary['faces']} faces, {summary['images_per_s']} images/s")
    distances = summary["distances"]
    matrix = (
        f"distances.npy [{summary['faces']}, {summary['faces']}]"
        if distances["written"]
        else f"no distances: {distances['reason']}"
    )
    print(f"  embeddings.npy [{summary['faces']}, 512], {matrix}")
    failed, more = [], 0
    for row in _rows(folder / "images.csv"):
        if row["outcome"] in FAILED:
            failed.append(row)
            more += len(failed) > _FAILURES_SHOWN
            del failed[_FAILURES_SHOWN:]
    for row in failed:
        print(f"  {row['outcome']}: {row['path']} ({row['error']})")
    if more:
        print(f"  ... and {more} more, all in images.csv")
    sys.stdout.flush()


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)
