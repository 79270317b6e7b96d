"""Creates results folders of any size without a run: random people, whose photos do not exist."""

import csv
import json
from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from shared.domain.contract import KNOWN_WEIGHTS, Contract
from shared.results.schema import DIGEST_COLUMNS, FACE_COLUMNS, IMAGE_COLUMNS

PHOTOS_OF_A_PERSON = 6
_BAD_EVERY, _COPY_EVERY = 50, 40  # images: some failed, some are copies of the previous one
_WRITTEN_AT_ONCE = 10_000
# Standard deviation of a face around its person, per dimension: distances of 0.9 to 1.0 within a person, 1.4 between
# people.
_SPREAD = 0.03
_CONTRACT = Contract(
    faces="largest", mode="fast", margin_px=32, weights="casia-webface", weights_sha256=KNOWN_WEIGHTS["casia-webface"]
)


def face_path(face: int) -> str:
    """The path of the image of face number `face`."""
    return f"album-{face // 1000:04d}/holiday/photograph-{face:08d}.jpg"


def write_made_up_results(folder: Path, faces: int, photos: Iterable[int] = repeat(PHOTOS_OF_A_PERSON)) -> None:
    """Writes a results folder with one face per image and some failed images, but no distance matrix and no report.

    `photos` says how many faces each person has, one after the other.
    """
    folder.mkdir(parents=True)
    _write_embeddings(folder / "embeddings.npy", faces, iter(photos))
    _write(
        folder / "faces.csv",
        FACE_COLUMNS,
        (
            [
                k,
                _image_of(k),
                face_path(k),
                "10.1250",
                "12.5000",
                f"{50 + k % 100}.2500",
                "61.7500",
                "0.999871",
                *["25.5000"] * 10,
                *("40.0000", "48.000", "0.0000", "0.00", "1.0000"),
            ]
            for k in range(faces)
        ),
    )
    images = _image_of(faces)
    _write(folder / "images.csv", IMAGE_COLUMNS, (_image(k) for k in range(images)))
    _write(folder / "digests.csv", DIGEST_COLUMNS, ([k, f"{k:032x}"] for k in range(images)))
    (folder / "resources").mkdir()
    summary = {
        "job": folder.name,
        "source": "/nowhere/photos",
        "images": images,
        "faces": faces,
        "images_per_s": 12.5,
        "recalled": 0,
        "outcomes": {"ok": faces, "unreadable": images - faces},
        "seconds": {"decode": 1.0, "detect": 2.0, "embed": 1.0},
        "workers": {},
        "distances": {"written": False, "reason": "too large"},
        "contract": _CONTRACT.as_dict(),
        "versions": {"facequeue": "0.1.0"},
        "started": "2026-01-31T12:00:00.000+00:00",
        "ended": "2026-01-31T20:00:00.000+00:00",
        "phases": {},
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")


def _write_embeddings(path: Path, faces: int, photos: Iterator[int]) -> None:
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(faces, _CONTRACT.dimensions))
    rng = np.random.default_rng(0)
    person, left = np.zeros(_CONTRACT.dimensions), 0
    for start in range(0, faces, _WRITTEN_AT_ONCE):
        some = array[start : start + _WRITTEN_AT_ONCE]
        vectors = _SPREAD * rng.standard_normal(some.shape)
        for k in range(len(some)):
            if left == 0:
                left = next(photos)
                person = rng.standard_normal(_CONTRACT.dimensions)
                person /= np.linalg.norm(person)
            vectors[k] += person
            left -= 1
        some[:] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    array.flush()


def _image_of(face: int) -> int:
    """The image number of a face: after every `_BAD_EVERY - 1` faces comes an image without one."""
    return face + face // (_BAD_EVERY - 1)


def _image(image: int) -> list[Any]:
    if image % _BAD_EVERY == _BAD_EVERY - 1:
        figures = [0, 0, "1.5", "0.0", "0.0", "worker-1@host-4711", 1]
        return [image, f"broken/{image:08d}.jpg", "unreadable", "damaged: image file is truncated", 0, "", *figures]
    face = image - image // _BAD_EVERY
    same_as = face_path(face - 1) if face % _COPY_EVERY == 1 else ""
    return [image, face_path(face), "ok", "", 1, same_as, 4000, 3000, "14.2", "24.9", "31.1", "worker-1@host-4711", 1]


def _write(path: Path, columns: tuple[str, ...], rows: Iterable[list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
