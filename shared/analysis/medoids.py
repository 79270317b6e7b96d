"""The medoid of each group: the face in its middle."""

import numpy as np
import numpy.typing as npt

from shared.analysis.copies import Copies
from shared.analysis.exact_distances import exact_distances
from shared.analysis.neighbor_linkage import UNRELATED
from shared.domain.arrays import Float32
from shared.results.neighbors_file import Neighbors

_Labels = npt.NDArray[np.intp]


def medoid_distances(neighbors: Neighbors, copies: Copies, labels: _Labels, embeddings: Float32) -> Float32:
    """Each face's distance to the medoid of its group: float32 [n]. `neighbors` and `labels` are of the m distinct
    embeddings, `embeddings` [n, d] of all faces.

    The medoid has the smallest mean distance to the faces of its group, the first of several. As in the linkage, a pair
    that is not among each other's nearest counts as unrelated, so that time grows with the neighbors and not with the
    square of the group.
    """
    one = np.repeat(np.arange(len(neighbors)), np.diff(neighbors.starts))
    inside = labels[one] == labels[neighbors.faces]
    one, other = one[inside], neighbors.faces[inside]
    # A pair may be in one of its two rows only. It counts in both, once.
    low, high = np.minimum(one, other), np.maximum(one, other)
    once = np.unique(low * len(neighbors) + high, return_index=True)[1]
    low, high, distances = low[once], high[once], neighbors.distances[inside][once].astype(np.float64)
    # The sum of all distances is that of unrelated faces, less what the known ones are nearer.
    gain = np.bincount(low, (UNRELATED - distances) * copies.counts[high], len(neighbors))
    gain = gain + np.bincount(high, (UNRELATED - distances) * copies.counts[low], len(neighbors))
    gain = gain + UNRELATED * copies.counts
    order = np.lexsort((np.arange(len(labels)), -gain, labels))
    begins = np.flatnonzero(np.diff(labels[order], prepend=-1))
    medoid_of = np.empty(int(labels.max(initial=-1)) + 1, np.intp)
    medoid_of[labels[order[begins]]] = order[begins]
    own = np.arange(len(labels), dtype=np.int32)
    found = exact_distances(embeddings, copies.first.astype(np.int32), copies.first[medoid_of[labels]].astype(np.int32))
    found[medoid_of[labels] == own] = 0
    return found[copies.number]
