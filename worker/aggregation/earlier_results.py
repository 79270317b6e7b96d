"""The results that a job had before: any image of them, as a row of the new results."""

import csv
from array import array
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import accumulate, pairwise
from pathlib import Path

from shared.domain.arrays import Float32
from shared.domain.file_status import FileStatus
from shared.domain.paths import FolderPath, RootPath, ShownPath, below_folder, below_root, path_of_shown, show_path
from shared.domain.text import parse_json
from shared.results.files import map_array
from shared.results.row_table import RowTable
from shared.results.schema import (
    DIGESTS,
    EMBEDDINGS,
    FACES,
    FIGURE_COLUMNS,
    FOUND_COLUMNS,
    IMAGES,
    THUMBNAILS,
)
from shared.results.thumbnail_file import thumbnails_in
from worker.aggregation.rows import Row

UNREADABLE = (OSError, LookupError, ValueError, TypeError, csv.Error)
"""What reading damaged results raises."""


class EarlierResults:
    """A results folder, read row by row in any order. Memory: 8 bytes per line of its tables."""

    def __init__(self, folder: Path, below: RootPath, dimensions: int, stack: ExitStack) -> None:
        """Opens the files until `stack` ends. Raises one of `UNREADABLE` if they do not fit together."""
        self._below = below
        self._images, self._digests, self._faces = (RowTable(folder / name, stack) for name in (IMAGES, DIGESTS, FACES))
        counts = (int(self._images[row]["faces"]) for row in range(len(self._images)))
        self._first_face = array("q", accumulate(counts, initial=0))
        self._embeddings: Float32 = map_array(folder / EMBEDDINGS)
        self._thumbnails: Mapping[int, bytes] = thumbnails_in(folder / THUMBNAILS)
        if len(self._digests) != len(self._images):
            raise ValueError(f"{DIGESTS} does not fit {IMAGES}")
        if self._first_face[-1] != len(self._faces) or any(a > b for a, b in pairwise(self._first_face)):
            raise ValueError(f"{FACES} does not fit {IMAGES}")
        if self._embeddings.shape != (len(self._faces), dimensions):
            raise ValueError(f"{EMBEDDINGS} does not fit {FACES}")

    def __len__(self) -> int:
        return len(self._images)

    def row(self, index: int, path: RootPath | None = None, status: FileStatus | None = None) -> Row:
        """The image of row `index`, with the path and the status that its file has now (default: as before)."""
        image, digest = self._images[index], self._digests[index]
        faces = range(self._first_face[index], self._first_face[index + 1])
        pictures = [self._thumbnails[face] for face in faces if face in self._thumbnails]
        if path is None:
            shown = ShownPath(image["path"])
            path = below_root(self._below, _exact_path(shown, digest))
        else:
            shown = show_path(below_folder(self._below, path))
        if status is None:
            status = FileStatus(int(digest.get("size") or 0), int(digest.get("mtime_ns") or 0))
        return Row(
            path=path,
            shown=shown,
            outcome=image["outcome"],
            error=image["error"],
            digest=digest["blake2b"],
            status=status,
            figures=[image[column] for column in FIGURE_COLUMNS],
            faces=[[self._faces[face][column] for column in FOUND_COLUMNS] for face in faces],
            embeddings=self._embeddings[faces.start : faces.stop],
            thumbnails=pictures,
            earlier_face=faces.start,
        )


@contextmanager
def earlier_results(folder: Path, below: RootPath, dimensions: int) -> Iterator[EarlierResults]:
    """The results in a folder; `below` is the folder of the job's images, below the data root. Embeddings must have
    this many dimensions.
    """
    with ExitStack() as stack:
        yield EarlierResults(folder, below, dimensions, stack)


def _exact_path(shown: ShownPath, digest: Mapping[str, str]) -> FolderPath:
    exact = digest.get("exact_path")
    return FolderPath(str(parse_json(exact))) if exact else path_of_shown(shown)
