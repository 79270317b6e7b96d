"""A job's results folder, read and checked."""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.domain.arrays import Float32
from shared.domain.boxes import parse_box
from shared.domain.errors import ResultsError
from shared.domain.paths import ShownPath, printable
from shared.results.distances import Distances
from shared.results.files import map_array, open_table, read_json
from shared.results.neighbors_file import Neighbors, read_neighbors
from shared.results.schema import (
    BOX_COLUMNS,
    DISTANCES,
    EMBEDDINGS,
    FACES,
    FILE_COLUMNS,
    IMAGES,
    NEIGHBORS,
    RESOURCES,
    SUMMARY,
    worker_of_samples,
)
from shared.results.tables import Face, Faces, ImageFile, Images, Texts

_CURVE_COLUMNS = ("time", "cpu_percent", "rss_mib")


@dataclass(frozen=True, slots=True)
class Sample:
    """CPU and memory of a worker, all its processes together, at one moment."""

    time: str
    """ISO 8601, UTC."""
    cpu_percent: float
    """Of one core."""
    rss_mib: float


class Results:
    """A results folder. ResultsError says which of its files cannot be read, and why."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with reading(folder):
            self.summary = read_summary(folder)
            self.job = printable(str(self.summary["job"]))
            self.faces = _faces(folder / FACES)
            self.images = _images(folder / IMAGES)
            embeddings, matrix = read_arrays(folder, len(self.faces))
            neighbors = neighbors_in(folder, len(self.faces))
        self.distances = Distances(embeddings, matrix)
        self.neighbors = neighbors
        """None if the job has none, or is of an earlier version."""
        self.has_matrix = matrix is not None

    @property
    def contract(self) -> dict[str, Any]:
        """The job's contract, as `summary.json` has it."""
        return dict(self.summary.get("contract") or {})

    def resources(self, most: int) -> tuple[dict[str, list[Sample]], int]:
        """The samples of the first `most` workers, by name in order, and how many more workers have samples.

        Files that cannot be read are left out.
        """
        found: dict[str, list[Sample]] = {}
        more = 0
        for path in sorted((self.folder / RESOURCES).glob("*.csv")):
            try:
                if len(found) < most:
                    if samples := _samples(path):
                        found[printable(worker_of_samples(path))] = samples
                else:
                    more += any(True for _ in rows_of(path, *_CURVE_COLUMNS))
            except (OSError, ValueError, csv.Error):
                continue
        return found, more


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Explains what reading a results folder raises, as ResultsError."""
    try:
        yield
    except FileNotFoundError as error:
        raise ResultsError(
            f"{printable(str(error.filename))} is missing: {printable(str(folder))} is not a complete results folder. "
            "Run the job again."
        ) from None
    except OSError as error:
        raise ResultsError(f"{printable(str(error.filename or folder))} cannot be read: {error.strerror}.") from None
    except (ValueError, LookupError, csv.Error, OverflowError) as error:
        raise damaged_results(folder, error) from None


def read_summary(folder: Path) -> dict[str, Any]:
    """`summary.json`. ValueError if it is not that of a job."""
    summary: dict[str, Any] = read_json(folder / SUMMARY)
    if not isinstance(summary, dict) or not isinstance(summary.get("contract") or {}, dict):
        raise ValueError("summary.json is not that of a job")
    return summary


def read_arrays(folder: Path, faces: int) -> tuple[Float32, Float32 | None]:
    """Embeddings and, if there is one, distance matrix of so many faces. ValueError if they have another number."""
    matrix_file = folder / DISTANCES
    matrix = _array(matrix_file, faces) if os.path.lexists(matrix_file) else None
    return _array(folder / EMBEDDINGS, faces), matrix


def read_paths(folder: Path) -> Texts[ShownPath]:
    """The path of each face's image."""
    paths: Texts[ShownPath] = Texts()
    for (path,) in rows_of(folder / FACES, "path"):
        paths.append(ShownPath(printable(path)))
    return paths


def neighbors_in(folder: Path, faces: int) -> Neighbors | None:
    """The neighbors of so many faces; None if there are none, as in results of earlier versions. Raises as
    `read_neighbors`.
    """
    path = folder / NEIGHBORS
    return read_neighbors(path, faces) if os.path.lexists(path) else None


def damaged_results(folder: Path, reason: Exception) -> ResultsError:
    """The error that says why the results in a folder cannot be used."""
    return ResultsError(
        f"The results in {printable(str(folder))} are damaged: {printable(str(reason))}. Run the job again."
    )


def rows_of(path: Path, *columns: str) -> Iterator[list[str]]:
    """These columns of the table, row by row. ValueError if a column is missing or a row has another length."""
    with open_table(path) as file:
        reader = csv.reader(file)
        head = next(reader, [])
        if missing := [column for column in columns if column not in head]:
            raise ValueError(f"{path.name} has no column {missing[0]}")
        places = [head.index(column) for column in columns]
        for row in reader:
            if row:
                if len(row) != len(head):
                    raise ValueError(
                        f"line {reader.line_num} of {path.name} has {len(row)} fields instead of {len(head)}"
                    )
                yield [row[place] for place in places]


def columns_of(path: Path) -> list[str]:
    """The names of the table's columns. OSError as `open_regular`."""
    with open_table(path) as file:
        return next(csv.reader(file), [])


def _faces(path: Path) -> Faces:
    faces = Faces()
    for image, *sides, probability in rows_of(path, "path", *BOX_COLUMNS):
        faces.append(Face(ShownPath(printable(image)), parse_box(sides), float(probability)))
    return faces


def _images(path: Path) -> Images:
    images = Images()
    for image, outcome, error, same_as, width, height in rows_of(path, *FILE_COLUMNS):
        # A foreign folder may contain terminal control sequences.
        image, outcome, error, same_as = map(printable, (image, outcome, error, same_as))
        first = ShownPath(same_as) if same_as else None
        images.append(ImageFile(ShownPath(image), outcome, error, first, int(width or 0), int(height or 0)))
    return images


def _array(path: Path, faces: int) -> Float32:
    array: Float32 = map_array(path)
    square = path.name == DISTANCES
    if array.dtype.kind != "f":
        raise ValueError(f"{path.name} holds {array.dtype}, and no distances or embeddings")
    if array.ndim != 2 or len(array) != faces or (square and array.shape[1] != faces):
        raise ValueError(f"{path.name} is {list(array.shape)}, and faces.csv has {faces} faces")
    return array


def _samples(path: Path) -> list[Sample]:
    sums: dict[str, list[float]] = {}
    for time, cpu_percent, rss_mib in rows_of(path, *_CURVE_COLUMNS):
        total = sums.setdefault(time, [0.0, 0.0])
        total[0] += float(cpu_percent)
        total[1] += float(rss_mib)
    return [Sample(time, cpu, rss) for time, (cpu, rss) in sorted(sums.items())]
