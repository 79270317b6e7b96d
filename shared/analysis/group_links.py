"""What is known of the distances between groups of faces, in a few arrays."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Links = npt.NDArray[np.int32]
Sums = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

_AT_ONCE = 1 << 20
"""Links that are read in one portion: some 100 bytes each, for as long as they are worked on."""
_WHOLE_BITS = 61  # of a sum of distances in fixed point, the digits before the binary point included


@dataclass(frozen=True)
class Found:
    """The links of some groups, by group and then by the other group."""

    owner: npt.NDArray[np.intp]
    """The place of a link's group among those that were asked for."""
    other: Links
    distance: Values
    """The mean distance between the faces of both."""


class GroupLinks:
    """Groups of faces, each known by its first face, and the links between them.

    A link is the sum of the known distances between the faces of two groups, and their number. Both groups have it.
    The sums are in fixed point, so they do not depend on the order of the joins, and both sides have the same.

    A group's links are a stretch of the arrays. They may still name groups that were joined to others since; they are
    brought up to date when they are read.
    """

    def __init__(
        self, one: Links, other: Links, distances: npt.NDArray[np.float32], sizes: Sums, unrelated: float
    ) -> None:
        """Links between faces, each once; `sizes` [n] says how many each of n faces counts for. A pair of faces that
        has no link counts as `unrelated`.
        """
        count = len(sizes)
        self._unrelated = unrelated
        self._sizes = sizes.copy()
        self._group = np.arange(count, dtype=np.int32)  # or one that is closer to it
        self._partner = np.full(count, -1, np.int32)  # the group joined to this one, whose links still stand alone
        numbers = sizes[one] * sizes[other]
        most = 2 * float(distances.max(initial=1)) * float(numbers.sum(initial=1))
        self._unit = 2.0 ** -(_WHOLE_BITS - math.ceil(math.log2(most)))
        sums = np.rint(distances / self._unit).astype(np.int64) * numbers
        order = np.argsort(np.concatenate([one, other]), kind="stable")
        pair = np.where(order < len(one), order, order - len(one))
        self._other = np.concatenate([other, one])[order]
        self._sum, self._number = sums[pair], numbers[pair]
        self._count = np.bincount(one, minlength=count) + np.bincount(other, minlength=count)
        self._begin = np.cumsum(self._count) - self._count
        self._end = len(self._other)

    def __len__(self) -> int:
        return len(self._group)

    def groups(self) -> Links:
        """The groups that have links."""
        return np.flatnonzero(self._count).astype(np.int32)

    def group_of(self, faces: Links) -> Links:
        """The groups that these faces are in now."""
        found = self._group[faces]
        while not np.array_equal(above := self._group[found], found):
            found = above
        self._group[faces] = found
        return found

    def portions(self, groups: Links) -> Iterator[Links]:
        """The same groups in portions that can be read at once."""
        counts = self._count[groups] + np.where(self._partner[groups] < 0, 0, self._count[self._partner[groups]])
        portion = np.cumsum(counts) // _AT_ONCE
        yield from np.split(groups, np.flatnonzero(np.diff(portion)) + 1) if len(groups) else ()

    def join(self, low: Links, high: Links) -> None:
        """Makes each of `low` the group of both; no group is among them twice."""
        self._sizes[low] += self._sizes[high]
        self._group[high] = low
        self._partner[low] = high

    def of(self, groups: Links) -> Found:
        """The links of these groups, none of which is named twice."""
        joined = np.flatnonzero(self._partner[groups] >= 0)
        partners = self._partner[groups[joined]]
        holders = np.concatenate([groups, partners])
        at = _stretches(self._begin[holders], self._count[holders])
        owner = np.repeat(np.concatenate([np.arange(len(groups)), joined]), self._count[holders])
        other = self.group_of(self._other[at])
        kept = np.flatnonzero(other != groups[owner])  # not to itself, since its parts were joined
        keys = owner[kept] * len(self) + other[kept]
        order = np.argsort(keys, kind="stable")
        kept, keys = kept[order], keys[order]
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        at, owner, other = at[kept], owner[kept[first]], other[kept[first]]
        sums, numbers = _sums(self._sum[at], first), _sums(self._number[at], first)
        self._partner[groups] = -1
        self._count[partners] = 0
        self._write(groups, joined, np.bincount(owner, minlength=len(groups)), other, sums, numbers)
        pairs = self._sizes[groups[owner]] * self._sizes[other]
        return Found(owner, other, (sums * self._unit + (pairs - numbers) * self._unrelated) / pairs)

    def _write(self, groups: Links, joined: Sums, counts: Sums, other: Links, sums: Sums, numbers: Sums) -> None:
        """Writes links that are up to date: in their place, or at the end for groups that were joined."""
        self._count[groups[joined]] = 0
        needed = counts[joined]
        if self._end + needed.sum() > len(self._other):
            self._compact(int(needed.sum()))
        self._begin[groups[joined]] = self._end + np.cumsum(needed) - needed
        self._end += int(needed.sum())
        self._count[groups] = counts
        at = _stretches(self._begin[groups], counts)
        self._other[at], self._sum[at], self._number[at] = other, sums, numbers

    def _compact(self, needed: int) -> None:
        """Moves all links together, with room for more after them."""
        groups = np.flatnonzero(self._count)
        counts = self._count[groups]
        at = _stretches(self._begin[groups], counts)
        room = max(needed, len(at) // 4)
        self._other, self._sum, self._number = (
            np.concatenate([values[at], np.empty(room, values.dtype)])
            for values in (self._other, self._sum, self._number)
        )
        self._begin[groups] = np.cumsum(counts) - counts
        self._end = len(at)


def _stretches(begin: Sums, count: Sums) -> Sums:
    """The numbers from each of `begin` on, as many as `count` says."""
    return np.repeat(begin - np.cumsum(count) + count, count) + np.arange(count.sum())


def _sums(values: Sums, first: npt.NDArray[np.intp]) -> Sums:
    return np.add.reduceat(values, first) if len(first) else np.empty(0, np.int64)
