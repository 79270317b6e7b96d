"""What a job's results folder holds, read and checked."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from shared.domain.arrays import Float32
from shared.domain.errors import ResultsError
from shared.domain.paths import ShownPath, printable
from shared.results.distances import Distances
from shared.results.tables import Face, Faces, ImageFile, Images

_SAMPLE_COLUMNS = ("time", "cpu_percent", "rss_mib")


@dataclass(frozen=True, slots=True)
class Sample:
    """CPU and memory of a worker, all its processes together, at one moment."""

    time: str
    """ISO 8601, UTC."""
    cpu_percent: float
    """Of one core."""
    rss_mib: float


class Results:
    """A results folder; ResultsError says what in it cannot be read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
            if not isinstance(self.summary, dict) or not isinstance(self.summary.get("contract") or {}, dict):
                raise ValueError("summary.json is not that of a job")
            self.job = printable(str(self.summary["job"]))
            self.faces = _faces(folder / "faces.csv")
            self.images = _images(folder / "images.csv")
            embeddings = _array(folder / "embeddings.npy", len(self.faces))
            matrix_file = folder / "distances.npy"
            matrix = _array(matrix_file, len(self.faces)) if matrix_file.exists() else None
        except FileNotFoundError as error:
            raise ResultsError(
                f"{printable(str(error.filename))} is not there: {printable(str(folder))} is no results folder, or not "
                "all of one. Run the job again."
            ) from None
        except OSError as error:
            raise ResultsError(
                f"{printable(str(error.filename or folder))} cannot be read: {error.strerror}."
            ) from None
        except (ValueError, KeyError, csv.Error, OverflowError, RecursionError) as error:
            raise ResultsError(
                f"{printable(str(folder))} does not hold what a results folder holds: {printable(str(error))}. Run the job again."
            ) from None
        self.distances = Distances(embeddings, matrix)
        self.has_matrix = matrix is not None

    @property
    def contract(self) -> dict[str, Any]:
        """The job's contract, as `summary.json` has it."""
        return dict(self.summary.get("contract") or {})

    def resources(self, most: int) -> tuple[dict[str, list[Sample]], int]:
        """The samples of the first `most` workers, in order, and how many more workers have some.

        A file that cannot be read is left out.
        """
        found: dict[str, list[Sample]] = {}
        more = 0
        for path in sorted((self.folder / "resources").glob("*.csv")):
            try:
                if len(found) < most:
                    if samples := _samples(path):
                        found[printable(path.stem)] = samples
                else:
                    more += any(True for _ in _rows(path, *_SAMPLE_COLUMNS))
            except (OSError, ValueError, csv.Error):
                continue
        return found, more


def _rows(path: Path, *columns: str) -> Iterator[list[str]]:
    """These columns of the table, row by row; ValueError where it lacks one, or a row has another length."""
    with path.open(newline="", encoding="utf-8") as file:
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


def _faces(path: Path) -> Faces:
    faces = Faces()
    for image, left, top, right, bottom, probability in _rows(path, "path", "x1", "y1", "x2", "y2", "probability"):
        box = float(left), float(top), float(right), float(bottom)
        if not all(map(isfinite, box)):
            raise ValueError(f"a face in {path.name} has no box")
        faces.append(Face(ShownPath(printable(image)), box, float(probability)))
    return faces


def _images(path: Path) -> Images:
    images = Images()
    for image, outcome, error, same_as, width, height in _rows(
        path, "path", "outcome", "error", "same_as", "width", "height"
    ):
        # Somebody else's folder may hold what commands a terminal.
        image, outcome, error, same_as = map(printable, (image, outcome, error, same_as))
        first = ShownPath(same_as) if same_as else None
        images.append(ImageFile(ShownPath(image), outcome, error, first, int(width or 0), int(height or 0)))
    return images


def _array(path: Path, faces: int) -> Float32:
    # An empty file cannot be mapped.
    array: Float32 = np.load(path, mmap_mode="r" if faces else None, allow_pickle=False)
    square = path.name == "distances.npy"
    if array.dtype.kind != "f":
        raise ValueError(f"{path.name} holds {array.dtype}, and no distances or embeddings")
    if array.ndim != 2 or len(array) != faces or (square and array.shape[1] != faces):
        raise ValueError(f"{path.name} is {list(array.shape)}, and faces.csv has {faces} faces")
    return array


def _samples(path: Path) -> list[Sample]:
    sums: dict[str, list[float]] = {}
    for time, cpu_percent, rss_mib in _rows(path, *_SAMPLE_COLUMNS):
        total = sums.setdefault(time, [0.0, 0.0])
        total[0] += float(cpu_percent)
        total[1] += float(rss_mib)
    return [Sample(time, cpu, rss) for time, (cpu, rss) in sorted(sums.items())]
