"""Average linkage over the nearest neighbors of each face: time and memory grow with the neighbors, not with all pairs.

It is average linkage of a whole distance matrix in which every pair of faces that are not among each other's nearest
counts as unrelated. (`python benchmarks/groups.py` compares it with other methods on labeled faces.)

Two groups that are each other's closest are joined as soon as they are known to be, all such pairs of groups at once.
Below `UNRELATED` that gives the groups that joining the closest pair of all, one after the other, gives: a group is
never closer to a joined one than to the closer of its parts.
"""

import numpy as np
import numpy.typing as npt

from shared.analysis.group_links import Found, GroupLinks, Links
from shared.results.neighbors_file import Neighbors

UNRELATED = 1.41
"""The distance of a pair that is not among the nearest: about that of two directions that have nothing in common."""

_Labels = npt.NDArray[np.intp]


def link_neighbors(neighbors: Neighbors, copies: npt.NDArray[np.int64], threshold: float) -> _Labels:
    """A label for each of n faces, the first face of its group: groups are joined, closest first, while the mean
    distance between their faces is within the threshold. Groups without a pair of nearest neighbors are never joined.
    Of equally close pairs of groups the one with the smaller labels is joined first.

    `copies` [n] says how many equal faces each one stands for.
    """
    one, other, distances = _pairs_in_reach(neighbors, threshold)
    links = GroupLinks(one, other, distances, np.asarray(copies, np.int64), UNRELATED)
    return _Joining(links, threshold).join()


def _pairs_in_reach(neighbors: Neighbors, threshold: float) -> tuple[Links, Links, npt.NDArray[np.float32]]:
    """Each pair once, in the order of its numbers, the smaller first, without those between faces that no chain of
    pairs within the threshold connects.
    """
    count = len(neighbors)
    one = np.repeat(np.arange(count, dtype=np.int32), np.diff(neighbors.starts))
    near = neighbors.distances <= threshold
    component = _components(count, one[near], neighbors.faces[near])
    together = np.flatnonzero(component[one] == component[neighbors.faces])
    one, other = one[together], neighbors.faces[together]
    keys = np.minimum(one, other).astype(np.int64) * count + np.maximum(one, other)
    keys, first = np.unique(keys, return_index=True)
    low, high = np.divmod(keys, max(1, count))
    return low.astype(np.int32), high.astype(np.int32), neighbors.distances[together[first]]


def _components(count: int, one: Links, other: Links) -> Links:
    """The smallest face that is connected with each."""
    root = np.arange(count, dtype=np.int32)
    while True:
        a, b = root[one], root[other]
        apart = a != b
        if not apart.any():
            return root
        one, other = a[apart], b[apart]
        np.minimum.at(root, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(above := root[root], root):
            root = above


class _Joining:
    """Groups, each known by its first face, and for each the closest other."""

    def __init__(self, links: GroupLinks, threshold: float) -> None:
        self._links, self._threshold = links, threshold
        count = len(links)
        self._closest = np.full(count, -1, np.int32)
        self._distance = np.full(count, np.inf)  # to the closest
        self._others = np.full(count, np.inf)  # no other group than the closest is closer than this

    def join(self) -> _Labels:
        """Joins until nothing is within the threshold, and returns each face's group."""
        changed = self._links.groups()
        for some in self._links.portions(changed):
            self._look_at(some)
        while len(changed):
            changed = self._join_closest(changed)
        return self._links.group_of(np.arange(len(self._links), dtype=np.int32)).astype(np.intp)

    def _join_closest(self, changed: Links) -> Links:
        """Joins the pairs of which one is among `changed`, and returns the groups whose closest has changed then."""
        changed = changed[self._distance[changed] <= self._threshold]
        partner = self._closest[changed]
        mutual = self._closest[partner] == changed
        low = np.unique(np.minimum(changed[mutual], partner[mutual]))
        high = self._closest[low]
        self._links.join(low, high)
        doubtful = [np.empty(0, np.int32)]
        for some in self._links.portions(low):
            doubtful.append(self._tell_neighbors(*self._look_at(some)))
        again = np.unique(np.concatenate(doubtful))
        for some in self._links.portions(again):
            self._look_at(some)
        return np.concatenate([low, again])

    def _look_at(self, groups: Links) -> tuple[Links, Found]:
        """Finds the closest of each of these groups."""
        found = self._links.of(groups)
        self._distance[groups] = self._others[groups] = np.inf
        first = np.flatnonzero(np.diff(found.owner, prepend=-1))
        if len(first):
            distance = found.distance.copy()
            row = np.repeat(np.arange(len(first)), np.diff(first, append=len(distance)))
            nearest = np.minimum.reduceat(distance, first)
            as_near = np.flatnonzero(distance == nearest[row])
            closest = as_near[np.diff(row[as_near], prepend=-1) > 0]  # the first of equally near ones
            distance[closest] = np.inf
            looked_at = groups[found.owner[first]]
            self._closest[looked_at], self._distance[looked_at] = found.other[closest], nearest
            self._others[looked_at] = np.minimum.reduceat(distance, first)
        return groups, found

    def _tell_neighbors(self, groups: Links, found: Found) -> Links:
        """Tells the neighbors of groups that were joined; returns those whose closest is no longer known."""
        order = np.argsort(found.other, kind="stable")
        if not len(order):
            return found.other
        told, distance = found.other[order], found.distance[order]
        first = np.flatnonzero(np.diff(told, prepend=-1))
        row = np.repeat(np.arange(len(first)), np.diff(first, append=len(told)))
        told = told[first]
        closest = self._links.group_of(self._closest[told])
        is_closest = groups[found.owner[order]] == closest[row]
        to_closest = np.minimum.reduceat(np.where(is_closest, distance, np.inf), first)
        to_others = np.minimum.reduceat(np.where(is_closest, np.inf, distance), first)
        joined = to_closest < np.inf  # its closest is one of `groups`
        nearest = np.where(joined, to_closest, self._distance[told])
        others = np.minimum(self._others[told], to_others)
        self._closest[told], self._distance[told], self._others[told] = closest, nearest, others
        done = np.minimum(nearest, others) > self._threshold
        self._distance[told[done]] = np.inf
        doubtful: Links = told[(nearest >= others) & ~done]
        return doubtful
