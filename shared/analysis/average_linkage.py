"""Average linkage by the nearest-neighbor chain, with exactly the bits of SciPy's `linkage(..., method="average")`.

SciPy's module alone takes a quarter of a second to import, five times as long as a report of some hundred faces takes.
"""

import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32

Tree = npt.NDArray[np.float64]


def average_linkage(square: Float32) -> Tree:
    """The linkage of the distances [n, n]: float64 [n - 1, 4] in SciPy's form; empty for fewer than two faces.

    A row joins two clusters: their numbers (faces first, then the rows before), the mean distance between their faces,
    and how many faces they have together. The closest are joined first.
    """
    count = len(square)
    if count < 2:
        return np.empty((0, 4))
    distances = np.array(square, np.float64)
    np.fill_diagonal(distances, np.inf)
    sizes, chain = [1] * count, list[int]()
    merges = np.empty((count - 1, 4))
    for row in range(count - 1):
        if not chain:
            chain = [next(cluster for cluster, size in enumerate(sizes) if size)]
        x, y, distance = _follow(distances, chain)
        x, y = min(x, y), max(x, y)
        merges[row] = x, y, distance, sizes[x] + sizes[y]
        _merge(distances, sizes, x, y)
    return _numbered(merges[np.argsort(merges[:, 2], kind="stable")])


def _follow(distances: Tree, chain: list[int]) -> tuple[int, int, float]:
    """Follows nearest neighbors until two are each other's, and removes these from the chain."""
    while True:
        x = chain[-1]
        nearest = int(distances[x].argmin())
        # Of equally near ones the one before in the chain, so that it does not go round in circles.
        if len(chain) > 1 and distances[x, nearest] >= distances[x, chain[-2]]:
            y = chain[-2]
            del chain[-2:]
            return x, y, float(distances[x, y])
        chain.append(nearest)


def _merge(distances: Tree, sizes: list[int], x: int, y: int) -> None:
    """Makes y the cluster of both; x no longer exists."""
    both = (sizes[x] * distances[x] + sizes[y] * distances[y]) / (sizes[x] + sizes[y])
    both[[x, y]] = np.inf
    distances[y] = distances[:, y] = both
    distances[x] = distances[:, x] = np.inf
    sizes[x], sizes[y] = 0, sizes[x] + sizes[y]


def _numbered(merges: Tree) -> Tree:
    """The same joins with clusters named by number instead of by a face in them, the smaller number first."""
    faces = len(merges) + 1
    number = list(range(faces))
    root = list(range(faces))

    def root_of(face: int) -> int:
        while root[face] != face:
            root[face] = root[root[face]]
            face = root[face]
        return face

    for row, (x, y) in enumerate(merges[:, :2].astype(int).tolist()):
        x, y = root_of(x), root_of(y)
        merges[row, :2] = sorted((number[x], number[y]))
        root[x] = y
        number[y] = faces + row
    return merges


def leaves_in_order(tree: Tree, faces: int) -> npt.NDArray[np.intp]:
    """The faces from left to right below the tree's last join."""
    order: list[int] = []
    waiting = [faces + len(tree) - 1]
    while waiting:
        cluster = waiting.pop()
        if cluster < faces:
            order.append(cluster)
        else:
            waiting += [int(tree[cluster - faces, 1]), int(tree[cluster - faces, 0])]
    return np.array(order, np.intp)
