"""Candidates for the nearest neighbors of a block of faces: a few more than there are neighbors, by rough distances."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from shared.analysis.ragged import Index, rectangles, row_order, starts_of
from shared.domain.arrays import Float32
from shared.results.neighbors_file import Rows

MOST_WITHIN = 1024
"""Neighbors of a face, if more are within the distance that is asked for."""


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


def merge(parts: Sequence[Candidates], wanted: Wanted) -> Candidates:
    """The candidates of the same rows in several tiles as those of one: without those that others come before."""
    count, error = len(parts[0]), max(part.error for part in parts)
    bound = known_bound(parts, count, error)
    rows, faces, closeness = join(parts, bound)
    reached_bounds(closeness, starts_of(rows, count), bound, wanted, error)
    keep = np.flatnonzero(closeness >= bound[rows])
    return Candidates(starts_of(rows[keep], count), faces[keep], closeness[keep], bound, error)


def join(parts: Sequence[Candidates], bound: Float32) -> tuple[Rows, Rows, Float32]:
    """The candidates of the same rows in several tiles that reach `bound`, one of each row: rows, faces and closeness,
    sorted by row.
    """
    found = [_reaching(part, bound) for part in parts]
    rows, faces, closeness = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    order = row_order(rows, len(bound))
    return rows[order], faces[order], closeness[order]


def _reaching(part: Candidates, bound: Float32) -> tuple[Rows, Rows, Float32]:
    rows = np.repeat(np.arange(len(part), dtype=np.int32), np.diff(part.starts))
    keep = np.flatnonzero(part.closeness >= bound[rows])
    return rows[keep], part.faces[keep], part.closeness[keep]


def known_bound(parts: Sequence[Candidates], rows: int, error: float) -> Float32:
    """A closeness that the wanted neighbors of each of some faces reach, by what tiles say of them; minus infinity
    where none does. It holds for closenesses that are off by less than half of `error`.
    """
    bound = np.full(rows, -np.inf, np.float32)
    for part in parts:
        # The bound allows for the error of two closenesses of its own tile.
        np.maximum(bound, part.bound - np.float32(max(0.0, error - part.error)), out=bound)
    return bound


def reached_bounds(closeness: Float32, starts: Index, bound: Float32, wanted: Wanted, error: float) -> None:
    """Raises `bound`, one of each row, to what the wanted neighbors of the row reach at least, in place. `closeness`,
    sorted by row, has all that is known of the row and reaches the bound of before; the values of a row are those from
    its start to the next.
    """
    within = threshold_bound(wanted, error)
    for rows, values in rectangles(closeness, starts, -np.inf):
        width = values.shape[1]
        if width < wanted.kept:
            return
        places = [width - count for count in (wanted.kept, wanted.most) if count <= width]
        nearest, *most = (np.partition(values, places, axis=1)[:, places] - np.float32(error)).T
        bound[rows] = np.maximum.reduce([bound[rows], np.minimum(nearest, within), *most])


def threshold_bound(wanted: Wanted, error: float) -> np.float32:
    """What all faces within the threshold reach; infinite without one."""
    return np.float32(np.inf if wanted.within is None else -(wanted.within**2) / 2 - error)
