"""Links between groups of faces that may be joined, in a few arrays."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.analysis.group_means import GroupMeans, Values

Links = npt.NDArray[np.int32]
Sums = npt.NDArray[np.int64]

_AT_ONCE = 1 << 20
"""Links that are read in one portion: some 100 bytes each, for as long as they are worked on."""


@dataclass(frozen=True)
class Found:
    """The links of some groups, by group and then by the other group."""

    owner: npt.NDArray[np.intp]
    """The place of a link's group among those that were asked for."""
    other: Links
    square: Values
    """The mean squared distance between the faces of both."""


class GroupLinks:
    """Groups of faces, each known by its first face, and the links between them. Both groups have a link.

    A group's links are a stretch of the arrays. They may still name groups that were joined to others since; they are
    brought up to date when they are read. A link above the limit is left out then: what a group comes to be part
    of is near enough to the other only by a part that is, and that has a link of its own.
    """

    def __init__(self, one: Links, other: Links, squares: Values, means: GroupMeans, limit: float) -> None:
        """Links between groups, each once, with the mean squared distances between their faces. Above `limit` groups
        are not joined.
        """
        count = len(means)
        self._means, self.limit = means, limit
        self._group = np.arange(count, dtype=np.int32)  # or one that is closer to it
        self._partner = np.full(count, -1, np.int32)  # the group joined to this one, whose links still stand alone
        self._joined_at = np.zeros(count, np.int32)
        self._read_at = np.zeros(count, np.int32)
        self._joins = 0
        order = np.argsort(np.concatenate([one, other]), kind="stable")
        pair = np.where(order < len(one), order, order - len(one))
        self._other = np.concatenate([other, one])[order]
        self._square = squares[pair]
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
        self._means.join(low, high)
        self._group[high] = low
        self._partner[low] = high
        self._joins += 1
        self._joined_at[low] = self._joins

    def look_again(self, groups: Links) -> None:
        """Has the distances of these groups computed again when they are read."""
        self._joins += 1
        self._joined_at[groups] = self._joins

    def of(self, groups: Links) -> Found:
        """The links of these groups, none of which is named twice. Those above the limit are found this once."""
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
        kept = kept[np.diff(keys, prepend=-1) > 0]
        at, owner, other = at[kept], owner[kept], other[kept]
        last = np.maximum(self._joined_at[groups[owner]], self._joined_at[other])
        stale = np.flatnonzero(last > self._read_at[groups[owner]])
        square = self._square[at]
        square[stale] = self._means.mean_squares(groups[owner[stale]], other[stale])
        self._partner[groups] = -1
        self._count[partners] = 0
        self._read_at[groups] = self._joins
        near = square <= self.limit
        self._write(groups, joined, np.bincount(owner[near], minlength=len(groups)), other[near], square[near])
        return Found(owner, other, square)

    def _write(self, groups: Links, joined: Sums, counts: Sums, other: Links, square: Values) -> None:
        """Writes links that are up to date: in their place, or at the end for groups that were joined."""
        self._count[groups[joined]] = 0
        needed = counts[joined]
        if self._end + needed.sum() > len(self._other):
            self._compact(int(needed.sum()))
        self._begin[groups[joined]] = self._end + np.cumsum(needed) - needed
        self._end += int(needed.sum())
        self._count[groups] = counts
        at = _stretches(self._begin[groups], counts)
        self._other[at], self._square[at] = other, square

    def _compact(self, needed: int) -> None:
        """Moves all links together, with room for more after them."""
        groups = np.flatnonzero(self._count)
        counts = self._count[groups]
        at = _stretches(self._begin[groups], counts)
        room = max(needed, len(at) // 4)
        self._other = np.concatenate([self._other[at], np.empty(room, np.int32)])
        self._square = np.concatenate([self._square[at], np.empty(room)])
        self._begin[groups] = np.cumsum(counts) - counts
        self._end = len(at)


def _stretches(begin: Sums, count: Sums) -> Sums:
    """The numbers from each of `begin` on, as many as `count` says."""
    return np.repeat(begin - np.cumsum(count) + count, count) + np.arange(count.sum())
