"""Files that may be the same photo: files with equal bytes, and faces that are nearly equal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.analysis.calibration import NEAR_DUPLICATE
from shared.analysis.neighbors import nearest
from shared.analysis.ragged import pieces
from shared.domain.arrays import Float32
from shared.domain.paths import ShownPath
from shared.results.distances import Distances
from shared.results.neighbors_file import Neighbors
from shared.results.tables import Face, Images

MAX_PAIRS = 100
_NEAREST = 8
MOST_NEAR_PAIRS = 20_000
"""That are compared with each other."""
_ENTRIES_AT_ONCE = 1 << 18
NearPair = tuple[int, int, float]
"""Two faces, and their distance."""


@dataclass(frozen=True)
class Duplicates:
    """Suspected duplicates. Both lists have at most `MAX_PAIRS` entries."""

    copies: list[tuple[ShownPath, list[ShownPath]]]
    """The first file with certain bytes, and the later files with the same."""
    copied_files: int
    pairs: list[tuple[int, int, float]]
    """Two faces in files with different bytes, and their distance of at most `NEAR_DUPLICATE`.

    The nearest pair comes first; copies of a file count once.
    """
    near_pairs: int
    """Their number, of the nearest `MOST_NEAR_PAIRS` that were found."""


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
    """The same from the neighbors of all faces, in which equal embeddings count once: the nearest `MOST_NEAR_PAIRS`.

    Each frame of a film may have a thousand others within the distance.
    """
    found = _Pairs(np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.int64))
    starts = np.asarray(neighbors.starts, np.int64)
    for first, last in pieces(starts, _ENTRIES_AT_ONCE):
        begin, end = int(starts[first]), int(starts[last])
        near = begin + np.flatnonzero(neighbors.distances[begin:end] <= NEAR_DUPLICATE)
        rows, others = np.searchsorted(starts, near, side="right") - 1, np.asarray(neighbors.faces[near], np.int64)
        # A damaged file may name faces that do not exist.
        there = (rows != others) & (others >= 0) & (others < len(neighbors))
        rows, others, near = rows[there], others[there], near[there]
        some = _Pairs(neighbors.distances[near], np.minimum(rows, others), np.maximum(rows, others))
        found = _nearest_of(found.with_others(some))
    distances, one, other = (values.tolist() for values in found)
    return list(zip(one, other, distances, strict=True))


class _Pairs(NamedTuple):
    distances: Float32
    one: npt.NDArray[np.int64]
    other: npt.NDArray[np.int64]

    def with_others(self, pairs: "_Pairs") -> "_Pairs":
        return _Pairs(
            np.concatenate([self.distances, pairs.distances]),
            np.concatenate([self.one, pairs.one]),
            np.concatenate([self.other, pairs.other]),
        )


def _nearest_of(pairs: _Pairs) -> _Pairs:
    """The nearest of these pairs, each once, the nearest first, ties in the order of their faces."""
    order = np.lexsort((pairs.other, pairs.one, pairs.distances))
    again = np.ones(len(order), np.bool_)
    for values in pairs:
        again &= np.diff(values[order], prepend=-1) == 0
    kept = order[~again][:MOST_NEAR_PAIRS]
    return _Pairs(pairs.distances[kept], pairs.one[kept], pairs.other[kept])
