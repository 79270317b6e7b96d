"""Writes the tables and the embeddings of a results folder in one pass over the job's images."""

import csv
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from shared.domain.errors import ResultsError
from shared.domain.job import Job
from shared.domain.paths import ShownPath, below_folder, show_path
from shared.domain.thumbnail import images_with_thumbnails
from shared.results.schema import (
    DIGEST_COLUMNS,
    DIGESTS,
    EMBEDDINGS,
    FACE_COLUMNS,
    FACES,
    IMAGE_COLUMNS,
    IMAGES,
    THUMBNAILS,
)
from shared.results.thumbnail_file import ThumbnailWriter
from worker.aggregation.faces_parquet import faces_parquet
from worker.aggregation.reserved_array import new_array
from worker.aggregation.rows import Row
from worker.aggregation.statistics import JobStatistics

_IMAGE_BYTES = 6 << 10  # of the thumbnails of an image: about twice that of one face


def write_tables(job: Job, rows: Iterable[Row], folder: Path) -> JobStatistics:
    """Writes images.csv, faces.csv, digests.csv, embeddings.npy, the thumbnails and, with pyarrow, faces.parquet.

    Returns the sums over the rows.

    ResultsError if the numbers of images and faces differ from those in the job record.
    """
    statistics = JobStatistics()
    first_of: dict[str, ShownPath] = {}  # by digest
    embeddings = new_array(folder / EMBEDDINGS, (job.faces, job.contract.dimensions))
    with (
        _table(folder / IMAGES, IMAGE_COLUMNS) as images,
        _table(folder / FACES, FACE_COLUMNS) as faces,
        _table(folder / DIGESTS, DIGEST_COLUMNS) as digests,
        faces_parquet(folder, job) as parquet,
        ThumbnailWriter(folder / THUMBNAILS, job.faces) as jpegs,
    ):
        pictures = _Thumbnails(job, jpegs)
        for row in rows:
            first = first_of.setdefault(row.digest, row.shown) if row.digest else row.shown
            same_as = "" if first == row.shown else first
            images.writerow(
                [statistics.images, row.shown, row.outcome, row.error, len(row.faces), same_as, *row.figures]
            )
            digests.writerow([statistics.images, row.digest, *row.status, _exact_path(job, row)])
            if statistics.faces + len(row.faces) <= job.faces:
                embeddings[statistics.faces : statistics.faces + len(row.faces)] = row.embeddings
            if parquet is not None:
                parquet.add(statistics.images, row)
            pictures.add(statistics.images, statistics.faces, row)
            for found in row.faces:
                faces.writerow([statistics.faces, statistics.images, row.shown, *found])
                statistics.faces += 1
            statistics.add(row)
    if statistics.faces != job.faces or statistics.images != job.images:
        raise ResultsError(
            f"Job '{job.name}' counts {job.images} images and {job.faces} faces, its blocks {statistics.images} and "
            f"{statistics.faces}. Cancel it and run it again."
        )
    if isinstance(embeddings, np.memmap):
        embeddings.flush()
    return statistics


class _Thumbnails:
    """Writes the thumbnails that the report may show. Those of an update are the same as those of a job from nothing,
    although its batches are others.
    """

    def __init__(self, job: Job, jpegs: ThumbnailWriter) -> None:
        self._job, self._jpegs = job, jpegs
        self._images = images_with_thumbnails(job.options.report_faces)
        self._room_bytes = self._images * _IMAGE_BYTES

    def add(self, image: int, face: int, row: Row) -> None:
        """Adds those of an image, whose first face is number `face`."""
        size, count = sum(map(len, row.thumbnails)), len(row.faces)
        of_batch = image - image % self._job.options.batch_size  # workers cut none in later batches
        if not self._job.options.report or of_batch >= self._images or face + count > self._job.faces:
            return
        if len(row.thumbnails) == count and size <= self._room_bytes:
            self._room_bytes -= size
            for place, jpeg in enumerate(row.thumbnails):
                self._jpegs.add(face + place, jpeg)


def _exact_path(job: Job, row: Row) -> str:
    path = below_folder(job.options.folder, row.path)
    return json.dumps(path) if show_path(path) != str(path) else ""


@contextmanager
def _table(path: Path, columns: tuple[str, ...]) -> Iterator[Any]:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        yield writer
