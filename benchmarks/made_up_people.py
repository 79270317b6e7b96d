"""Adds to made-up results what a large report is made of: neighbors, groups and thumbnails, without comparing faces."""

import csv
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from benchmarks.made_up_results import write_made_up_results
from shared.domain.arrays import Float32
from shared.domain.thumbnail import SIDE_PX
from shared.results.files import map_array
from shared.results.neighbors_file import Neighbors, NeighborsWriter
from shared.results.schema import EMBEDDINGS, GROUP_COLUMNS, GROUPS, NEIGHBORS, THUMBNAILS
from shared.results.thumbnail_file import ThumbnailWriter

_FAR = (1.3, 1.42)  # distances between people
_ROWS_AT_ONCE = 4_096
_DIFFERENT_PICTURES = 256

Sizes = npt.NDArray[np.int64]


def write_made_up_people(folder: Path, faces: int, pictures: int, *, neighbors: int = 64, largest: int = 400) -> None:
    """Writes results of people with 1 to `largest` photos each, many of them with few; `pictures` faces have a
    thumbnail. A face's neighbors are faces of its own person, at their distances, then any others at made-up ones.
    """
    sizes = _sizes(faces, largest)
    write_made_up_results(folder, faces, sizes.tolist())
    embeddings: Float32 = map_array(folder / EMBEDDINGS)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    _write_groups(folder / GROUPS, sizes, starts, embeddings)
    with NeighborsWriter(folder / NEIGHBORS, faces) as file:
        for rows in _neighbors(embeddings, sizes, starts, neighbors):
            file.add(rows)
    _write_thumbnails(folder / THUMBNAILS, faces, pictures)


def _sizes(faces: int, largest: int) -> Sizes:
    """Photos of each person: half of the people have one or two."""
    rng = np.random.default_rng(1)
    sizes = np.minimum(1 + rng.pareto(1.1, faces).astype(np.int64), largest)
    count = int(np.searchsorted(np.cumsum(sizes), faces)) + 1
    sizes = sizes[:count]
    sizes[-1] -= sizes.sum() - faces
    return sizes


def _write_groups(path: Path, sizes: Sizes, starts: Sizes, embeddings: Float32) -> None:
    numbers = np.empty(len(sizes), np.int64)
    numbers[np.lexsort((starts[:-1], -sizes))] = np.arange(1, len(sizes) + 1)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(GROUP_COLUMNS)
        for number, start, size in zip(numbers.tolist(), starts.tolist(), sizes.tolist(), strict=False):
            some = embeddings[start : start + size].astype(np.float64)
            distances = np.linalg.norm(some - some[0], axis=1).tolist()
            writer.writerows((start + k, number, f"{distance:.6f}") for k, distance in enumerate(distances))


def _neighbors(embeddings: Float32, sizes: Sizes, starts: Sizes, count: int) -> Iterator[Neighbors]:
    rng = np.random.default_rng(2)
    person = np.repeat(np.arange(len(sizes)), sizes)
    for first in range(0, len(embeddings), _ROWS_AT_ONCE):
        rows = np.arange(first, min(first + _ROWS_AT_ONCE, len(embeddings)))
        faces = rng.integers(0, len(embeddings), (len(rows), count), np.int32)
        distances = np.sort(rng.uniform(*_FAR, (len(rows), count)), axis=1).astype(np.float32)
        for k, row in enumerate(rows.tolist()):
            begin, size = int(starts[person[row]]), int(sizes[person[row]])
            mates = np.delete(np.arange(begin, begin + size), row - begin)[:count]
            near = np.linalg.norm(embeddings[mates] - embeddings[row], axis=1)
            order = np.argsort(near, kind="stable")
            faces[k, : len(mates)], distances[k, : len(mates)] = mates[order], near[order]
        yield Neighbors(np.arange(len(rows) + 1) * count, faces.reshape(-1), distances.reshape(-1))


def _write_thumbnails(path: Path, faces: int, pictures: int) -> None:
    """Faces that a person can tell from each other by their color."""
    drawn = [_draw(k) for k in range(_DIFFERENT_PICTURES)]
    with ThumbnailWriter(path, faces) as file:
        for face in np.linspace(0, faces - 1, min(faces, pictures)).astype(int).tolist():
            file.add(face, drawn[face % len(drawn)])


def _draw(number: int) -> bytes:
    rng = np.random.default_rng(number)
    skin, back, hair = (
        tuple(int(v) for v in rng.integers(low, high, 3)) for low, high in ((120, 230), (60, 200), (10, 120))
    )
    noise = rng.integers(0, 24, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    image = Image.new("RGB", (SIDE_PX, SIDE_PX), back)
    pen = ImageDraw.Draw(image)
    pen.ellipse((20, 6, 76, 80), fill=hair)
    pen.ellipse((26, 18, 70, 82), fill=skin)
    for x in (38, 58):
        pen.ellipse((x - 4, 42, x + 4, 48), fill="white")
        pen.ellipse((x - 2, 43, x + 2, 47), fill="black")
    pen.arc((38, 54, 58, 70), 20, 160, fill="maroon", width=3)
    image = Image.fromarray(np.clip(np.asarray(image).astype(int) + noise - 12, 0, 255).astype(np.uint8))
    out = BytesIO()
    image.save(out, "JPEG", quality=72)
    return out.getvalue()
