"""Bundles: sets of groups that are one person, because somebody has said so, and of which some must stay apart.

A bundle's groups may be far from each other, as photos of a child and of the adult are. Each is joined to others on its
own; what it joins is in the bundle too. So a pair of groups may become forbidden by a join of others, and joins of two
bundles have to come in the order of their distances.
"""

import numpy as np
import numpy.typing as npt

from shared.analysis.constraints import NOBODY, Constraints
from shared.analysis.group_means import Groups, Values
from shared.domain.arrays import Bool

_Bundles = npt.NDArray[np.int32]


class Bundles:
    """The bundles of groups, each group known by its first face. Most groups are in none."""

    def __init__(self, constraints: Constraints) -> None:
        """At first every distinct face is a group."""
        together, person = constraints.together, constraints.person
        sizes = np.bincount(together, minlength=len(together))
        needed = (sizes[together] > 1) | (person != NOBODY)
        needed[np.isin(together, constraints.apart)] = True
        firsts, number = np.unique(together[needed], return_inverse=True)
        self._bundle = np.full(len(together), -1, np.int32)
        self._bundle[needed] = number
        self._person = person[firsts].astype(np.int32)
        self._groups: list[set[int]] = [set() for _ in firsts]
        for face in np.flatnonzero(needed).tolist():
            self._groups[self._bundle[face]].add(face)
        self._apart: list[set[int]] = [set() for _ in firsts]
        for one, other in self._bundle[constraints.apart].tolist():
            self._apart[one].add(other)
            self._apart[other].add(one)
        self._has_apart = np.array([bool(others) for others in self._apart], np.bool_)
        self._merged: set[int] = set()

    def of(self, groups: npt.NDArray[np.integer]) -> _Bundles:
        """The bundle of each group, -1 for none."""
        found: _Bundles = self._bundle[groups]
        return found

    def forbidden(self, one: Groups, other: Groups) -> Bool:
        """Whether the groups of each pair [k] must stay apart."""
        a, b = self.of(one), self.of(other)
        found = np.zeros(len(one), np.bool_)
        both = np.flatnonzero((a >= 0) & (b >= 0) & (a != b))
        a, b = a[both], b[both]
        found[both] = (self._person[a] != self._person[b]) & (self._person[a] >= 0) & (self._person[b] >= 0)
        for pair in np.flatnonzero(self._has_apart[a] & self._has_apart[b]).tolist():
            found[both[pair]] |= int(b[pair]) in self._apart[a[pair]]
        return found

    def choose(self, low: Groups, high: Groups, squares: Values) -> Bool:
        """Which of the pairs, each the closest of the other, may be joined now. `squares` [groups] are the distances of
        all groups to their closest.

        Two bundles are only joined if none of their groups has a closer one. Then no join that has to come before can
        forbid it.
        """
        a, b = self.of(low), self.of(high)
        chosen = np.ones(len(low), np.bool_)
        two = np.flatnonzero((a >= 0) & (b >= 0) & (a != b))
        if not len(two):
            return chosen
        everyone = np.flatnonzero(self._bundle >= 0)
        nearest = np.full(len(self._person), np.inf)
        np.minimum.at(nearest, self._bundle[everyone], squares[everyone])
        chosen[two] = (squares[low[two]] <= nearest[a[two]]) & (squares[low[two]] <= nearest[b[two]])
        taken: set[int] = set()
        for pair in two[np.lexsort((low[two], squares[low[two]]))].tolist():
            if chosen[pair]:
                bundles = {int(a[pair]), int(b[pair])}
                chosen[pair] = not bundles & taken
                taken |= bundles
        return chosen

    def join(self, low: Groups, high: Groups) -> None:
        """Makes each of `low` the group of both; no group is among them twice."""
        bundled = np.flatnonzero(self._bundle[high] >= 0)
        for group, other in zip(low[bundled].tolist(), high[bundled].tolist(), strict=True):
            one, two = int(self._bundle[group]), int(self._bundle[other])
            self._groups[two].remove(other)
            self._bundle[other] = -1
            if one < 0:
                self._bundle[group] = two
                self._groups[two].add(group)
            elif one != two:
                self._merge(one, two)

    def take_merged(self) -> Groups:
        """The groups of all bundles that were merged since this was asked, in ascending order."""
        groups = sorted(group for bundle in self._merged for group in self._groups[bundle])
        self._merged = set()
        return np.array(groups, np.int32)

    def _merge(self, one: int, two: int) -> None:
        if len(self._groups[one]) + len(self._apart[one]) < len(self._groups[two]) + len(self._apart[two]):
            one, two = two, one
        for third in self._apart[two]:
            self._apart[third].remove(two)
            self._apart[third].add(one)
        self._apart[one] |= self._apart[two]
        self._has_apart[one] |= self._has_apart[two]
        self._person[one] = max(self._person[one], self._person[two])
        self._groups[one] |= self._groups[two]
        self._bundle[list(self._groups[two])] = one
        self._groups[two], self._apart[two] = set(), set()
        self._merged.add(one)

    def as_one(self, labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """The labels [m] of groups, with those of each bundle as one: its smallest."""
        bundle = self.of(labels)
        there = bundle >= 0
        smallest = np.full(len(self._person), len(labels), np.int32)
        np.minimum.at(smallest, bundle[there], labels[there])
        found = labels.copy()
        found[there] = smallest[bundle[there]]
        return found
