"""Files that may be the same photo: files with equal bytes, and faces that are nearly equal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from shared.analysis.calibration import NEAR_DUPLICATE
from shared.analysis.neighbors import nearest
from shared.domain.paths import ShownPath
from shared.results.distances import Distances
from shared.results.neighbors_file import Neighbors
from shared.results.tables import Face, Images

MAX_PAIRS = 100
_NEAREST = 8
_ROWS_AT_ONCE = 1 << 16
NearPair = tuple[int, int, float]
"""Two faces, and their distance."""


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


def find_duplicates(images: Images, faces: Sequence[Face], pairs: Iterable[NearPair]) -> Duplicates:
    """Compares the bytes of all files; `pairs` are those of `faces` within `NEAR_DUPLICATE`, the nearest first."""
    pairs = list(pairs)
    near = {faces[face].path for pair in pairs for face in pair[:2]}
    first_of: dict[ShownPath, ShownPath] = {}  # of copies among the files of near faces
    copies: dict[ShownPath, list[ShownPath]] = {}
    copied_files = 0
    for path, first in images.copies():
        copied_files += 1
        if path in near:
            first_of[path] = first
        if first in copies or len(copies) < MAX_PAIRS:
            copies.setdefault(first, []).append(path)

    # A face is identified by the first file with its bytes and by its place there, so that copies give no pair twice.
    def alike(face: Face) -> tuple[ShownPath, tuple[int, ...]]:
        return first_of.get(face.path, face.path), tuple(map(round, face.box))

    met: set[frozenset[object]] = set()
    kept: list[NearPair] = []
    for a, b, distance in pairs:
        one, other = alike(faces[a]), alike(faces[b])
        same = frozenset((one, other))
        if one[0] != other[0] and same not in met:
            met.add(same)
            kept.append((a, b, distance))
    return Duplicates(list(copies.items()), copied_files, kept[:MAX_PAIRS], len(kept))


def near_pairs(distances: Distances) -> list[NearPair]:
    """The pairs of faces within `NEAR_DUPLICATE`, the nearest first.

    If a face has more near duplicates than nearest faces are compared, some of its pairs are missing.
    """
    rows, found = nearest(distances, np.arange(len(distances)), _NEAREST)
    pairs = {}
    for face, k in np.argwhere(found <= NEAR_DUPLICATE):
        other = int(rows[face, k])
        pairs[min(int(face), other), max(int(face), other)] = float(found[face, k])
    return sorted(((a, b, distance) for (a, b), distance in pairs.items()), key=lambda pair: (pair[2], pair[:2]))


def recorded_near_pairs(neighbors: Neighbors) -> list[NearPair]:
    """The same from the neighbors of all faces, in which equal embeddings count once."""
    starts = np.asarray(neighbors.starts, np.int64)
    found: list[NearPair] = []
    for first in range(0, len(neighbors), _ROWS_AT_ONCE):
        begins = starts[first : first + _ROWS_AT_ONCE + 1]
        near = begins[0] + np.flatnonzero(neighbors.distances[begins[0] : begins[-1]] <= NEAR_DUPLICATE)
        rows = first + np.searchsorted(begins, near, side="right") - 1
        values = rows.tolist(), neighbors.faces[near].tolist(), neighbors.distances[near].tolist()
        found += [
            (min(a, b), max(a, b), distance)
            for a, b, distance in zip(*values, strict=True)
            if a != b and 0 <= b < len(neighbors)
        ]
    return sorted(set(found), key=lambda pair: (pair[2], pair[:2]))
