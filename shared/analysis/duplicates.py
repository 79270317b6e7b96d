"""Files that may be the same photo: files with equal bytes, and faces that are nearly equal."""

from dataclasses import dataclass

import numpy as np

from shared.analysis.calibration import NEAR_DUPLICATE
from shared.analysis.neighbors import nearest
from shared.domain.paths import ShownPath
from shared.results.distances import Distances
from shared.results.tables import Face, Images

MAX_PAIRS = 100
_NEAREST = 8


@dataclass(frozen=True)
class Duplicates:
    """Suspected duplicates. Both lists have at most `MAX_PAIRS` entries; the counts are complete."""

    copies: list[tuple[ShownPath, list[ShownPath]]]
    """The first file with certain bytes, and the later files with the same."""
    copied_files: int
    pairs: list[tuple[int, int, float]]
    """Two faces in files with different bytes, and their distance of at most `NEAR_DUPLICATE`.

    The nearest pair comes first; copies of a file count once.
    """
    near_pairs: int


def find_duplicates(images: Images, faces: list[Face], distances: Distances) -> Duplicates:
    """Compares every file, and every face with its nearest ones; `distances` are those between `faces`, in their order.

    If a face has more near duplicates than nearest faces are compared, some of its pairs are missing.
    """
    shown = {face.path for face in faces}
    first_of: dict[ShownPath, ShownPath] = {}  # of copies among the files of `faces`
    copies: dict[ShownPath, list[ShownPath]] = {}
    copied_files = 0
    for path, first in images.copies():
        copied_files += 1
        if path in shown:
            first_of[path] = first
        if first in copies or len(copies) < MAX_PAIRS:
            copies.setdefault(first, []).append(path)
    # A face is identified by the first file with its bytes and by its place there, so that copies give no pair twice.
    alike = [(first_of.get(face.path, face.path), tuple(map(round, face.box))) for face in faces]
    met: set[frozenset[object]] = set()
    pairs = []
    for a, b, distance in _near_pairs(distances):
        same = frozenset((alike[a], alike[b]))
        if alike[a][0] != alike[b][0] and same not in met:
            met.add(same)
            pairs.append((a, b, distance))
    return Duplicates(list(copies.items()), copied_files, pairs[:MAX_PAIRS], len(pairs))


def _near_pairs(distances: Distances) -> list[tuple[int, int, float]]:
    rows, found = nearest(distances, np.arange(len(distances)), _NEAREST)
    pairs = {}
    for face, k in np.argwhere(found <= NEAR_DUPLICATE):
        other = int(rows[face, k])
        pairs[min(int(face), other), max(int(face), other)] = float(found[face, k])
    return sorted(((a, b, distance) for (a, b), distance in pairs.items()), key=lambda pair: (pair[2], pair[:2]))
