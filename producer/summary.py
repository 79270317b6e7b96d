"""What a results folder says, for the end of `run`."""

import csv
import json
from pathlib import Path

from shared.outcomes import FAILED
from shared.paths import printable

_FAILURES_SHOWN = 10


def print_summary(folder: Path) -> None:
    """Prints where the results are and what they say."""
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
    failed = [row for row in _rows(folder / "images.csv") if row["outcome"] in FAILED]
    for row in failed[:_FAILURES_SHOWN]:
        print(f"  {row['outcome']}: {row['path']} ({row['error']})")
    if len(failed) > _FAILURES_SHOWN:
        print(f"  ... and {len(failed) - _FAILURES_SHOWN} more, all in images.csv")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
