"""A job's images row by row: from the blocks of its batches, or, where failed images were tried again, from the folder too."""

import csv
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from shared.domain.arrays import Float32
from shared.domain.errors import ResultsError
from shared.domain.paths import RootPath, ShownPath, below_folder, show_path
from worker.batch_result import DIMENSIONS, Block

FACE_COLUMNS = ("face", "image", "path", "x1", "y1", "x2", "y2", "probability")
IMAGE_COLUMNS = (
    "image", "path", "outcome", "error", "faces", "same_as", "width", "height", "decode_ms", "detect_ms", "embed_ms",
    "worker", "attempt",
)  # fmt: skip
DIGEST_COLUMNS = ("image", "blake2b")
_BOX_COLUMNS = FACE_COLUMNS[3:]
_FIGURES = IMAGE_COLUMNS[6:]
_FIRST_TIME = ("images_per_s", "seconds", "workers", "started", "ended", "recalled", "phases")


@dataclass(frozen=True)
class Origin:
    """The batch that an image was in, and who worked on it when."""

    worker: str
    started_ms: int
    ended_ms: int
    commit_ms: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """One image, as the tables show it but for what depends on its place: numbers and `same_as`."""

    path: RootPath | None
    """None for an image of an earlier time, whose table shows paths and does not keep their bytes."""
    shown: ShownPath
    outcome: str
    error: str
    digest: str
    figures: list[str]
    """`width` to `attempt` of images.csv."""
    boxes: list[list[str]]
    """`x1` to `probability` of faces.csv, for each face."""
    embeddings: Float32
    """[faces, 512]"""
    recalled: bool = False
    spent_ms: dict[str, float] = field(default_factory=dict)
    """By stage."""
    origin: Origin | None = None


def rows_of_blocks(blocks: Iterable[bytes], folder: RootPath) -> Iterator[Row]:
    """The images of a job's batches; `folder` is the one enqueued."""
    for packed in blocks:
        block = Block.unpack(packed)
        origin = Origin(block.worker, block.started_ms, block.ended_ms, block.commit_ms)
        embeddings = block.embeddings
        for image in block.images:
            spent = image.spent_ms
            yield Row(
                path=image.path, shown=show_path(below_folder(folder, image.path)), outcome=image.outcome, error=image.error,
                digest=image.digest, recalled=image.recalled, spent_ms=spent, origin=origin,
                figures=[str(image.width), str(image.height), *(f"{ms:.1f}" for ms in spent.values()), block.worker, str(block.attempt)],
                boxes=[[*(f"{edge:.4f}" for edge in box), f"{probability:.6f}"] for *box, probability in image.faces],
                embeddings=embeddings[: len(image.faces)],
            )  # fmt: skip
            embeddings = embeddings[len(image.faces) :]


def merged_rows(folder: Path, retried: dict[int, RootPath], fresh: Iterator[Row]) -> Iterator[Row]:
    """The images of a results folder, with those of `retried` (path by index) replaced by `fresh` ones, in order."""
    try:
        embeddings = np.load(folder / "embeddings.npy", mmap_mode="r")
        if embeddings.shape != (_count_rows(folder / "faces.csv"), DIMENSIONS):
            raise ValueError("embeddings.npy does not fit faces.csv")
        with (
            (folder / "images.csv").open(newline="", encoding="utf-8") as images_file,
            (folder / "faces.csv").open(newline="", encoding="utf-8") as faces_file,
            (folder / "digests.csv").open(newline="", encoding="utf-8") as digests_file,
        ):
            faces, face = csv.DictReader(faces_file), 0
            for image, digest in zip(csv.DictReader(images_file), csv.DictReader(digests_file), strict=True):
                count = int(image["faces"])
                boxes = [[row[column] for column in _BOX_COLUMNS] for row in islice(faces, count)]
                index = int(image["image"])
                if index in retried:
                    row = next(fresh, None)
                    if row is None or row.path != retried[index]:
                        raise ResultsError(
                            f"What was tried again does not fit {folder}. Cancel the job and run it again."
                        )
                    yield row
                else:
                    yield Row(
                        path=None, shown=ShownPath(image["path"]), outcome=image["outcome"], error=image["error"], digest=digest["blake2b"],
                        figures=[image[column] for column in _FIGURES], boxes=boxes, embeddings=embeddings[face : face + count],
                    )  # fmt: skip
                face += count
    except (FileNotFoundError, EOFError, KeyError, ValueError, csv.Error) as error:
        raise ResultsError(
            f"The earlier results in {folder} are not whole ({error}), so failed images cannot be added to them. Cancel the "
            "job and run it again."
        ) from None


def _count_rows(path: Path) -> int:
    with path.open(newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def carry_over(folder: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """The summary of all that was done: speed and workers of the first time, and one entry for each time after it."""
    try:
        before: dict[str, Any] = dict(json.loads((folder / "summary.json").read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ResultsError(
            f"{folder / 'summary.json'} is not whole ({error}). Cancel the job and run it again."
        ) from None
    again = {name: summary[name] for name in ("started", "ended", "seconds", "workers", "phases")}
    kept = {name: before.get(name) for name in _FIRST_TIME}
    return (
        summary
        | kept
        | {"retries": [*(entry for entry in before.get("retries", []) if entry["started"] != again["started"]), again]}
    )


def earlier_samples(folder: Path) -> dict[str, Iterator[dict[str, str]]]:
    """The samples that lie in a results folder, by worker, read as they are asked for.

    A file ends where it cannot be read: it is no reason to stop.
    """
    return {path.stem: _samples_in(path) for path in sorted((folder / "resources").glob("*.csv"))}


def _samples_in(path: Path) -> Iterator[dict[str, str]]:
    with suppress(OSError, ValueError, csv.Error), path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def carry_over_profiles(folder: Path, target: Path) -> None:
    """Copies a results folder's profiles beside the new ones, which stay where a process has both."""
    for path in sorted((folder / "profile").glob("*.prof")):
        if not (target / path.name).exists():
            target.mkdir(exist_ok=True)
            shutil.copyfile(path, target / path.name)
