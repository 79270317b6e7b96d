"""Mean embeddings of groups some of which must stay apart: the distance of these is infinite.

Such a distance is still reducible: a group is never closer to a joined one than to the closer of its parts, since a
joined group must stay apart from all that one of its parts must. Linkage that relies on this needs no other change.
"""

import numpy as np

from shared.analysis.constraints import NOBODY, Constraints
from shared.analysis.copies import Copies
from shared.analysis.group_means import GroupMeans, Groups, Values
from shared.domain.arrays import Bool, Float32


class CannotLinks:
    """Which groups must stay apart: those of different people, and those of pairs that were named."""

    def __init__(self, constraints: Constraints) -> None:
        """At first every distinct face is a group, which is known by its number."""
        self._person = constraints.person.astype(np.int32)
        self._set = np.full(len(self._person), -1, np.int32)  # of groups that must stay apart, by number
        members = np.unique(constraints.apart)
        self._set[members] = np.arange(len(members))
        self._apart: list[set[int]] = [set() for _ in members]
        for one, other in self._set[constraints.apart].tolist():
            self._apart[one].add(other)
            self._apart[other].add(one)

    def join(self, low: Groups, high: Groups) -> None:
        """Makes each of `low` the group of both; no group is among them twice."""
        self._person[low] = np.maximum(self._person[low], self._person[high])
        named = np.flatnonzero(self._set[high] >= 0)
        for group, other in zip(low[named].tolist(), high[named].tolist(), strict=True):
            self._join_sets(group, other)

    def _join_sets(self, group: int, other: int) -> None:
        one, two = int(self._set[group]), int(self._set[other])
        if one < 0:
            self._set[group] = two
            return
        if len(self._apart[one]) < len(self._apart[two]):
            one, two = two, one
        for third in self._apart[two]:
            self._apart[third].remove(two)
            self._apart[third].add(one)
        self._apart[one] |= self._apart[two]
        self._apart[two] = set()
        self._set[group] = one

    def between(self, one: Groups, other: Groups) -> Bool:
        """Whether the groups of each pair [k] must stay apart."""
        a, b = self._person[one], self._person[other]
        found: Bool = (a != b) & (a != NOBODY) & (b != NOBODY)
        a, b = self._set[one], self._set[other]
        for pair in np.flatnonzero((a >= 0) & (b >= 0)).tolist():
            found[pair] |= b[pair] in self._apart[a[pair]]
        return found


class ConstrainedMeans(GroupMeans):
    """The means of groups that keep to constraints. Those that must be together are joined at once."""

    def __init__(self, embeddings: Float32, copies: Copies, constraints: Constraints) -> None:
        super().__init__(embeddings, copies)
        self._cannot_links = CannotLinks(constraints)
        self._join_all(constraints)

    def join(self, low: Groups, high: Groups) -> None:
        super().join(low, high)
        self._cannot_links.join(low, high)

    def mean_squares(self, one: Groups, other: Groups) -> Values:
        found = super().mean_squares(one, other)
        found[self._cannot_links.between(one, other)] = np.inf
        return found

    def _join_all(self, constraints: Constraints) -> None:
        """Joins what must be together, two and two, always in the same order: a mean is rounded with every join."""
        sizes = np.bincount(constraints.together, minlength=len(self))
        left = np.flatnonzero(sizes[constraints.together] > 1).astype(np.int32)
        left = left[np.argsort(constraints.together[left], kind="stable")]
        while True:
            group = constraints.together[left]
            begins = np.flatnonzero(np.diff(group, prepend=-1))
            place = np.arange(len(left)) - np.repeat(begins, np.diff(begins, append=len(left)))
            high = np.flatnonzero(place % 2)
            if not len(high):
                return
            self.join(left[high - 1], left[high])
            left = np.delete(left, high)
