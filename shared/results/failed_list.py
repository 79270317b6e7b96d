"""Which images of a finished job failed: in its record, or in its results folder if there are too many for the record.

`failed.csv` has one row per image and attempt at the job: how many retries had run when the image failed, its number in
`images.csv`, and its path below the data root. The path is a JSON string, because `images.csv` does not keep a path's
bytes. The rows of the attempt before are kept: an aggregation that runs again still needs them.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Protocol

from shared.domain.errors import FailedListUnreadable
from shared.domain.failed_images import fits_record
from shared.domain.job import Job
from shared.domain.paths import RootPath, check_relative, printable
from shared.domain.text import parse_json
from shared.results.files import open_table
from shared.results.schema import FAILED_COLUMNS, FAILED_LIST


def write_failed_list(folder: Path, job: Job, failed: Mapping[int, RootPath], earlier: Path) -> None:
    """Writes `failed.csv` into an unfinished results folder, if it needs one.

    `earlier` is the results folder that this one will replace, which need not exist.
    """
    kept = list(_rows(earlier / FAILED_LIST, job.retries - 1)) if job.failed_listed else []
    fresh = failed if not fits_record(failed) else {}
    if not kept and not fresh:
        return
    with (folder / FAILED_LIST).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FAILED_COLUMNS)
        times: Iterable[tuple[int, Iterable[tuple[int, RootPath]]]] = (
            (job.retries - 1, kept),
            (job.retries, fresh.items()),
        )
        writer.writerows(chain.from_iterable(_written(time, images) for time, images in times))


class Record(Protocol):
    """The record of a job, as far as it lists failed images itself."""

    def failed_images(self) -> dict[int, RootPath]:
        """Path by index."""


def failed_images(record: Record, job: Job, results_dir: Path) -> dict[int, RootPath]:
    """The images that failed when the job was last finished: path (below the data root) by index, in order.

    FailedListUnreadable if only the results folder has them, and its list cannot be read here.
    """
    if not job.failed_listed:
        return record.failed_images()
    last_finished = job.retries - job.unfinished  # a reopened job counts the retry that has just begun
    path = results_dir / job.name / FAILED_LIST
    try:
        found = dict(_rows(path, last_finished))
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        found, reason = {}, f": {getattr(error, 'strerror', None) or error}"
    else:
        reason = f" whole: it lists {len(found)} of them"
    if len(found) != job.failed_listed:
        raise FailedListUnreadable(
            f"{job.failed_listed} images of job '{job.name}' failed, too many for the server; their list "
            f"{printable(str(path))} is not readable{reason}. Retry where FACEQUEUE_RESULTS_DIR is the aggregator's "
            "results folder."
        )
    return dict(sorted(found.items()))


def _rows(path: Path, time: int) -> Iterator[tuple[int, RootPath]]:
    with open_table(path) as file:
        for row in csv.DictReader(file):
            if int(row["retries"]) == time:
                yield int(row["image"]), check_relative(parse_json(row["path"]))


def _written(time: int, images: Iterable[tuple[int, RootPath]]) -> Iterator[tuple[int, int, str]]:
    for index, path in images:
        yield time, index, json.dumps(path)
