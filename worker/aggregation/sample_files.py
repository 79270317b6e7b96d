"""The workers' samples in a results folder: one table for each worker."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

from shared.results.files import open_table
from shared.results.schema import RESOURCES, SAMPLE_COLUMNS, samples_name, worker_of_samples

Samples = Mapping[str, Iterable[dict[str, str]]]
"""Samples by worker, in chronological order."""
_AFTER_EVERY_TIME = "~"


def write_samples(fresh: Samples, folder: Path, earlier: Samples) -> None:
    """Writes a table for each worker that has samples into the results folder.

    The `earlier` samples come first, up to the first `fresh` one: a worker serves many jobs.
    """
    (folder / RESOURCES).mkdir()
    for worker in sorted({*fresh, *earlier}):
        samples = _joined(earlier.get(worker, ()), fresh.get(worker, ()))
        first = next(samples, None)
        if first is not None:
            path = folder / RESOURCES / samples_name(worker)
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, SAMPLE_COLUMNS, extrasaction="ignore", lineterminator="\n")
                writer.writeheader()
                writer.writerows(chain([first], samples))


def earlier_samples(folder: Path) -> dict[str, Iterator[dict[str, str]]]:
    """The samples in a results folder, by worker, read on access.

    An unreadable table ends at the error: samples never stop an aggregation.
    """
    return {worker_of_samples(path): _samples_in(path) for path in sorted((folder / RESOURCES).glob("*.csv"))}


def _joined(earlier: Iterable[dict[str, str]], fresh: Iterable[dict[str, str]]) -> Iterator[dict[str, str]]:
    rest = iter(fresh)
    first = next(rest, None)
    begins = first["time"] if first else _AFTER_EVERY_TIME
    before = (sample for sample in earlier if (sample.get("time") or _AFTER_EVERY_TIME) < begins)
    return chain(before, [first] if first else [], rest)


def _samples_in(path: Path) -> Iterator[dict[str, str]]:
    with suppress(OSError, ValueError, csv.Error), open_table(path) as file:
        yield from csv.DictReader(file)
