"""What a job's results folder holds, read and checked."""

import csv
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import ResultsError
from shared.paths import printable
from shared.report.distances import Distances, Float32


@dataclass(frozen=True)
class Face:
    """A row of `faces.csv`: row k describes row k of the arrays."""

    path: str
    """As printed: relative to the images' folder."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom, in pixels of the upright image."""
    probability: float


@dataclass(frozen=True)
class ImageFile:
    """A row of `images.csv`."""

    path: str
    outcome: str
    error: str
    same_as: str
    """The first file with the same bytes; empty where this is it."""
    width: int
    """Of the upright image, in pixels; 0 where it was not decoded."""
    height: int


@dataclass(frozen=True)
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
            self.job = str(self.summary["job"])
            self.faces = [_face(row) for row in _rows(folder / "faces.csv")]
            self.images = [_image(row) for row in _rows(folder / "images.csv")]
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
        except (ValueError, KeyError) as error:
            raise ResultsError(
                f"{printable(str(folder))} does not hold what a results folder holds: {error}. Run the job again."
            ) from None
        self.distances = Distances(embeddings, matrix)
        self.has_matrix = matrix is not None

    @property
    def contract(self) -> dict[str, Any]:
        """The job's contract, as `summary.json` has it."""
        return dict(self.summary.get("contract") or {})

    @cached_property
    def resources(self) -> dict[str, list[Sample]]:
        """The samples of every worker, in order; a file that cannot be read is left out."""
        found = {}
        for path in sorted((self.folder / "resources").glob("*.csv")):
            try:
                samples = _samples(path)
            except (OSError, ValueError, KeyError):
                continue
            if samples:
                found[printable(path.stem)] = samples
        return found


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _face(row: dict[str, str]) -> Face:
    box = float(row["x1"]), float(row["y1"]), float(row["x2"]), float(row["y2"])
    return Face(row["path"], box, float(row["probability"]))


def _image(row: dict[str, str]) -> ImageFile:
    return ImageFile(
        row["path"], row["outcome"], row["error"], row["same_as"], int(row["width"] or 0), int(row["height"] or 0)
    )


def _array(path: Path, faces: int) -> Float32:
    # An empty file cannot be mapped.
    array: Float32 = np.load(path, mmap_mode="r" if faces else None, allow_pickle=False)
    square = path.name == "distances.npy"
    if array.ndim != 2 or len(array) != faces or (square and array.shape[1] != faces):
        raise ValueError(f"{path.name} is {list(array.shape)}, and faces.csv has {faces} faces")
    return array


def _samples(path: Path) -> list[Sample]:
    sums: dict[str, list[float]] = {}
    for row in _rows(path):
        total = sums.setdefault(row["time"], [0.0, 0.0])
        total[0] += float(row["cpu_percent"])
        total[1] += float(row["rss_mib"])
    return [Sample(time, cpu, rss) for time, (cpu, rss) in sorted(sums.items())]
