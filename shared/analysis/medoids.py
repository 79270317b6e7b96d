"""The medoid of each group: the face in its middle."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from shared.analysis.copies import Copies
from shared.analysis.exact_distances import ExactDistances
from shared.analysis.group_means import UNIT, in_units
from shared.domain.arrays import Float32

_ROWS_AT_ONCE = 4096

_Labels = npt.NDArray[np.intp]


def medoid_distances(copies: Copies, labels: _Labels, embeddings: Float32) -> Float32:
    """Each face's distance to the medoid of its group: float32 [n]. `labels` are of the m distinct embeddings,
    `embeddings` [n, d] of all faces.

    The medoid has the smallest mean squared distance to the faces of its group, the first of several that are equal but
    for rounding (any two faces alone are). It follows from the mean embedding of the group, so time grows with the
    faces and not with the square of the group.
    """
    medoid = np.arange(len(labels))
    order = np.argsort(labels, kind="stable")
    for members in _batches(order, labels):
        medoid[members] = _medoids(members, labels[members], copies, embeddings)
    found = ExactDistances(embeddings).of_pairs(copies.first.astype(np.int32), copies.first[medoid].astype(np.int32))
    found[medoid == np.arange(len(labels))] = 0
    return found[copies.number]


def _batches(order: _Labels, labels: _Labels) -> Iterator[_Labels]:
    """The members of all groups of two and more, some whole groups at a time."""
    sizes = np.bincount(labels, minlength=len(labels))
    order = order[sizes[labels[order]] > 1]
    ends = np.append(np.flatnonzero(np.diff(labels[order])) + 1, len(order))
    begin = 0
    while begin < len(order):
        last = max(int(np.searchsorted(ends, begin + _ROWS_AT_ONCE, "right")) - 1, 0)
        end = int(ends[last]) if ends[last] > begin else int(ends[last + 1])
        yield order[begin:end]
        begin = end


def _medoids(members: _Labels, labels: _Labels, copies: Copies, embeddings: Float32) -> _Labels:
    """For each of the members of whole groups, which follow one another, the medoid."""
    first = np.flatnonzero(np.diff(labels, prepend=-1))
    row = np.repeat(np.arange(len(first)), np.diff(first, append=len(labels)))
    counts = copies.counts[members]
    sums = np.zeros((len(first), embeddings.shape[1]))
    for begin in range(0, len(members), _ROWS_AT_ONCE):
        part = slice(begin, begin + _ROWS_AT_ONCE)
        rows = in_units(embeddings[copies.first[members[part]]]) * counts[part, None]
        starts = np.flatnonzero(np.diff(row[part], prepend=-1))
        sums[row[part][starts]] += np.add.reduceat(rows, starts)
    # Whole numbers again: their products have the same bits on every processor.
    means = np.rint(sums / np.add.reduceat(counts, first)[:, None])
    farness = np.empty(len(members))
    for begin in range(0, len(members), _ROWS_AT_ONCE):
        part = slice(begin, begin + _ROWS_AT_ONCE)
        rows = in_units(embeddings[copies.first[members[part]]])
        farness[part] = np.einsum("nd,nd->n", rows, rows) - 2 * np.einsum("nd,nd->n", rows, means[row[part]])
    # Rounding moves the mean by half a unit at most in each dimension, and embeddings have a length of about one.
    rounding = 2 * np.sqrt(embeddings.shape[1]) / UNIT
    nearest = np.flatnonzero(farness <= np.minimum.reduceat(farness, first)[row] + rounding)
    chosen = nearest[np.diff(row[nearest], prepend=-1) > 0]
    return members[chosen][row]
