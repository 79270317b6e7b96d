"""Candidates for the nearest neighbors of a block of faces: a few more than there are neighbors, by rough distances."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32
from shared.results.neighbors_file import Rows

MOST_WITHIN = 1024
"""Neighbors of a face, if more are within the distance that is asked for."""

Index = npt.NDArray[np.int64]


class Wanted(NamedTuple):
    """Which neighbors of each face are wanted: the `kept` nearest, and all up to the distance `within`, but then not
    more than `most` in all.
    """

    kept: int
    within: float | None
    most: int


def wanted_of(count: int, within: float | None, faces: int) -> Wanted:
    """What is wanted among this many faces if `count` neighbors are asked for."""
    kept = max(0, min(count, faces - 1))
    return Wanted(kept, within, max(kept, min(MOST_WITHIN, faces - 1)))


@dataclass(frozen=True)
class Candidates:
    """For each row of a block of faces some others, in no order. The arrays may be mapped from a file."""

    starts: Index
    """[rows + 1], as in `Neighbors`."""
    faces: Rows
    closeness: Float32
    """About -distance^2 / 2."""
    bound: Float32
    """[rows]: a closeness that the wanted neighbors of each face reach, from all that was known of it."""
    error: float
    """The closeness is off by less than half of it, which the bound allows for."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def rows(self, begin: int, end: int) -> "Candidates":
        """Some of the rows."""
        first, last = int(self.starts[begin]), int(self.starts[end])
        starts = np.asarray(self.starts[begin : end + 1]) - first
        part = self.faces[first:last], self.closeness[first:last], self.bound[begin:end]
        return Candidates(starts, *part, self.error)


def join(parts: Sequence[Candidates], bound: Float32) -> tuple[Rows, Rows, Float32]:
    """The candidates of the same rows in several tiles that reach `bound`, one of each row: rows, faces and closeness,
    sorted by row.
    """
    parts = [_reaching(part, bound) for part in parts]
    rows = np.concatenate([np.repeat(np.arange(len(part), dtype=np.int32), np.diff(part.starts)) for part in parts])
    order = np.argsort(rows, kind="stable")
    faces = np.concatenate([part.faces for part in parts])
    closeness = np.concatenate([part.closeness for part in parts])
    return rows[order], faces[order], closeness[order]


def _reaching(part: Candidates, bound: Float32) -> Candidates:
    rows = np.repeat(np.arange(len(part), dtype=np.int32), np.diff(part.starts))
    keep = part.closeness >= bound[rows]
    starts = np.zeros(len(part) + 1, np.int64)
    np.cumsum(np.bincount(rows[keep], minlength=len(part)), out=starts[1:])
    return Candidates(starts, part.faces[keep], part.closeness[keep], part.bound, part.error)


def known_bound(parts: Sequence[Candidates], rows: int, error: float) -> Float32:
    """A closeness that the wanted neighbors of each of some faces reach, by what tiles say of them; minus infinity
    where none does. It holds for closenesses that are off by less than half of `error`.
    """
    bound = np.full(rows, -np.inf, np.float32)
    for part in parts:
        # The bound allows for the error of two closenesses of its own tile.
        np.maximum(bound, part.bound - np.float32(max(0.0, error - part.error)), out=bound)
    return bound


def reached_bounds(rows: Rows, closeness: Float32, bound: Float32, wanted: Wanted, error: float) -> None:
    """Raises `bound`, one of each row, to what the wanted neighbors of the row reach at least, in place. `closeness`
    has all that is known of the row and reaches the bound of before.
    """
    counts = np.bincount(rows, minlength=len(bound))
    begins, in_order = np.cumsum(counts) - counts, _in_order(rows, -closeness)

    def reached(place: int) -> tuple[Index, Float32]:
        full = np.flatnonzero(counts >= place)
        return full, -in_order[begins[full] + place - 1] - np.float32(error)

    full, nearest = reached(wanted.kept)
    bound[full] = np.maximum(bound[full], np.minimum(nearest, threshold_bound(wanted, error)))
    full, most = reached(wanted.most)
    bound[full] = np.maximum(bound[full], most)


def threshold_bound(wanted: Wanted, error: float) -> np.float32:
    """What all faces within the threshold reach; infinite without one."""
    return np.float32(np.inf if wanted.within is None else -(wanted.within**2) / 2 - error)


def _in_order(rows: Rows, values: Float32) -> Float32:
    """The values, sorted by row and then by value; negative ones count as 0."""
    # One sort of integers: the bits of floats from 0 up are in their order.
    keys = rows.astype(np.uint64) << np.uint64(32)
    keys |= np.maximum(values, 0).view(np.uint32)
    keys.sort()
    return keys.astype(np.uint32).view(np.float32)
