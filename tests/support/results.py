"""The contents of a results folder, for comparisons."""

import csv
import json
from pathlib import Path

RESULT_COLUMNS = ("image", "path", "outcome", "error", "faces", "same_as", "width", "height")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def result_bytes(folder: Path) -> dict[str, bytes]:
    """The contents that must be the same to the last byte."""
    images = [[row[column] for column in RESULT_COLUMNS] for row in rows_of(folder / "images.csv")]
    names = ("embeddings.npy", "distances.npy", "neighbors.npz", "groups.csv", "faces.csv", "faces.parquet")
    files = {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}
    return files | {"images.csv": json.dumps(images).encode()}
