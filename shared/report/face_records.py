"""What `people.csv` names faces by: image, number, digest and box."""

import csv
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.domain.paths import ShownPath
from shared.results.distances import Faces
from shared.results.reader import Results, rows_of
from shared.results.schema import DIGESTS, FACES

_DIGEST_BYTES = 16
_NO_DIGEST = bytes(_DIGEST_BYTES)


@dataclass(frozen=True)
class FaceRecords:
    """Some faces, one after the other."""

    images: list[ShownPath]
    rows: list[int]
    """In faces.csv."""
    digests: list[str]
    """Of the image files, in hexadecimal digits; empty where none is known."""
    boxes: list[tuple[float, float, float, float]]


class RecordedFaces:
    """The records of a job's faces. Memory: 16 bytes for each image and 8 for each face."""

    def __init__(self, results: Results) -> None:
        """ValueError or OSError if faces.csv cannot be read; without digests.csv, faces have no digest."""
        self._faces = results.faces
        images = array("q", (int(image) for (image,) in rows_of(results.folder / FACES, "image")))
        self._images = np.frombuffer(images, np.int64) if images else np.empty(0, np.int64)
        self._digests = _read_digests(results.folder, len(results.images))

    def of(self, rows: Faces) -> FaceRecords:
        """The faces in these rows of faces.csv."""
        faces = [self._faces[row] for row in rows.tolist()]
        return FaceRecords(
            images=[face.path for face in faces],
            rows=rows.tolist(),
            digests=[self._digest(int(image)) for image in self._images[rows]],
            boxes=[face.box for face in faces],
        )

    def _digest(self, image: int) -> str:
        digest = self._digests[image].tobytes() if 0 <= image < len(self._digests) else _NO_DIGEST
        return "" if digest == _NO_DIGEST else digest.hex()


def _read_digests(folder: Path, images: int) -> npt.NDArray[np.uint8]:
    """[images, 16] by the number of the image; zeros where none is known."""
    digests = np.zeros((images, _DIGEST_BYTES), np.uint8)
    try:
        for number, digest in rows_of(folder / DIGESTS, "image", "blake2b"):
            if len(digest) == 2 * _DIGEST_BYTES and 0 <= int(number) < images:
                digests[int(number)] = np.frombuffer(bytes.fromhex(digest), np.uint8)
    except (OSError, ValueError, csv.Error):
        return np.zeros_like(digests)
    return digests
