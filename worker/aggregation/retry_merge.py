"""Merges the retried images of a job into its earlier results, whose other images stay unchanged."""

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from shared.domain.arrays import DIMENSIONS
from shared.domain.errors import ResultsError
from shared.domain.paths import RootPath, ShownPath, printable
from shared.results.files import map_array, open_table, read_json
from shared.results.schema import BOX_COLUMNS, DIGESTS, EMBEDDINGS, FACES, FIGURE_COLUMNS, IMAGES, SUMMARY
from worker.aggregation.rows import Row

_FIRST_ATTEMPT = ("images_per_s", "seconds", "workers", "started", "ended", "recalled", "phases")
_RETRY = ("started", "ended", "seconds", "workers", "phases")


def merged_rows(folder: Path, retried: dict[int, RootPath], fresh: Iterator[Row]) -> Iterator[Row]:
    """The images of a results folder in order, with the `retried` ones (path by index) replaced by `fresh` ones."""
    try:
        embeddings = map_array(folder / EMBEDDINGS)
        if embeddings.shape != (_count_rows(folder / FACES), DIMENSIONS):
            raise ValueError(f"{EMBEDDINGS} does not fit {FACES}")
        with (
            open_table(folder / IMAGES) as images_file,
            open_table(folder / FACES) as faces_file,
            open_table(folder / DIGESTS) as digests_file,
        ):
            faces, face = csv.DictReader(faces_file), 0
            for image, digest in zip(csv.DictReader(images_file), csv.DictReader(digests_file), strict=True):
                end = face + int(image["faces"])
                boxes = [[row[column] for column in BOX_COLUMNS] for row in islice(faces, end - face)]
                index = int(image["image"])
                if index in retried:
                    yield _retried_row(folder, retried[index], fresh)
                else:
                    yield Row(
                        path=None,
                        shown=ShownPath(image["path"]),
                        outcome=image["outcome"],
                        error=image["error"],
                        digest=digest["blake2b"],
                        figures=[image[column] for column in FIGURE_COLUMNS],
                        boxes=boxes,
                        embeddings=embeddings[face:end],
                    )
                face = end
    except (OSError, KeyError, ValueError, csv.Error) as error:
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


def _count_rows(path: Path) -> int:
    with open_table(path) as file:
        return sum(1 for _ in csv.reader(file)) - 1
