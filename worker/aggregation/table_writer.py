"""Writes the tables and the embeddings of a results folder in one pass over the job's images."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from shared.domain.errors import ResultsError
from shared.domain.job import Job
from shared.results.schema import DIGEST_COLUMNS, DIGESTS, EMBEDDINGS, FACE_COLUMNS, FACES, IMAGE_COLUMNS, IMAGES
from worker.aggregation.array_file import new_array
from worker.aggregation.rows import Row
from worker.aggregation.statistics import Tally
from worker.batch_result import DIMENSIONS


def write_tables(job: Job, rows: Iterable[Row], folder: Path) -> Tally:
    """Writes images.csv, faces.csv, digests.csv and embeddings.npy, and returns what was added up on the way.

    ResultsError if the rows are not as many images and faces as the job counts.
    """
    tally = Tally()
    first_of: dict[str, str] = {}
    embeddings = new_array(folder / EMBEDDINGS, (job.faces, DIMENSIONS))
    with (
        _table(folder / IMAGES, IMAGE_COLUMNS) as images,
        _table(folder / FACES, FACE_COLUMNS) as faces,
        _table(folder / DIGESTS, DIGEST_COLUMNS) as digests,
    ):
        for row in rows:
            first = first_of.setdefault(row.digest, row.shown) if row.digest else row.shown
            same_as = "" if first == row.shown else first
            images.writerow([tally.images, row.shown, row.outcome, row.error, len(row.boxes), same_as, *row.figures])
            digests.writerow([tally.images, row.digest])
            if tally.faces + len(row.boxes) <= job.faces:
                embeddings[tally.faces : tally.faces + len(row.boxes)] = row.embeddings
            tally.keep_thumbnails(row)
            for box in row.boxes:
                faces.writerow([tally.faces, tally.images, row.shown, *box])
                tally.faces += 1
            tally.add(row)
    if tally.faces != job.faces or tally.images != job.images:
        raise ResultsError(
            f"Job '{job.name}' counts {job.images} images and {job.faces} faces, its blocks {tally.images} and "
            f"{tally.faces}. Cancel it and run it again."
        )
    if isinstance(embeddings, np.memmap):
        embeddings.flush()
    return tally


@contextmanager
def _table(path: Path, columns: tuple[str, ...]) -> Iterator[Any]:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        yield writer
